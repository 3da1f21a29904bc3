// Weak keys that crypto libraries accept: anyone can forge their signatures.

const isPrime = (n: number): boolean => {
  for (let divisor = 2; divisor < n; divisor++) if (n % divisor === 0) return false;
  return true;
};

/** The primes that identify keys of the flawed generator: 3 to 167, as in the paper. */
const ROCA_PRIMES = Array.from({ length: 165 }, (_, i) => i + 3).filter(isPrime);

/**
 * Reports whether a modulus comes from the generator of CVE-2017-15361 (ROCA), whose keys can be factored: modulo every
 * small prime it is a power of 65537 (Nemec et al., CCS 2017, section 3.4). About one other key in 2^27 matches too.
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

/** The prime of the field of Ed25519 (RFC 8032 section 5.1). */
const P = 2n ** 255n - 19n;

/**
 * Reports whether an Ed25519 key is a point of small order, whose signatures fit many messages, or a non-canonical
 * encoding of another key (RFC 8032 section 5.1.3).
 *
 * On -x^2 + y^2 = 1 + d x^2 y^2 with d = -121665/121666, doubling a point of order 8 gives y = 0, so its own y solves
 * d y^4 + 2 y^2 = 1; those of the orders 4, 2 and 1 have y = 0, -1 and 1.
 */
export function isWeakEd25519(point: Uint8Array): boolean {
  const y = point.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n) % 2n ** 255n; // without the sign of x
  const square = y * y;
  return y >= P || (y * (square - 1n) * (121_665n * square * square - 243_332n * square + 121_666n)) % P === 0n;
}
