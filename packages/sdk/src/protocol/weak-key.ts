// Keys that crypto libraries verify with and that prove nothing.

const isPrime = (n: number): boolean => {
  for (let divisor = 2; divisor < n; divisor++) if (n % divisor === 0) return false;
  return true;
};

/** Primes that tell keys of the flawed generator apart from others: 3 to 167, as in the paper. */
const ROCA_PRIMES = Array.from({ length: 165 }, (_, i) => i + 3).filter(isPrime);

/**
 * Whether a modulus was made by the generator of CVE-2017-15361 (ROCA), whose keys can be factored:
 * modulo every small prime it is a power of 65537 (Nemec et al., CCS 2017, section 3.4). About one
 * other key in 2^27 looks like that too.
 *
 * @param modulus big-endian
 */
export function isRocaModulus(modulus: Uint8Array): boolean {
  return ROCA_PRIMES.every((prime) => {
    const remainder = modulus.reduce((rest, byte) => (rest * 256 + byte) % prime, 0);
    let power = 1;
    do {
      if (power === remainder) return true;
      power = (power * 65_537) % prime;
    } while (power !== 1);
    return false;
  });
}

/** The y coordinates of the eight points of small order, little-endian, without the sign of x. */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  "00".repeat(32),
  "01" + "00".repeat(31),
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "ec" + "ff".repeat(30) + "7f",
]);

/**
 * Whether an Ed25519 key is a point of small order, whose signatures fit many messages, or a second
 * spelling of another key (RFC 8032 section 5.1.3).
 */
export function isWeakEd25519(point: Uint8Array): boolean {
  const y = Uint8Array.from(point, (byte, i) => (i === 31 ? byte & 0x7f : byte));
  // y >= 2^255 - 19 is not reduced
  if (y[0]! >= 0xed && y[31] === 0x7f && y.subarray(1, 31).every((byte) => byte === 0xff)) return true;
  return SMALL_ORDER.has(Array.from(y, (byte) => byte.toString(16).padStart(2, "0")).join(""));
}
