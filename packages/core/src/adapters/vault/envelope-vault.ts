import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import type { KeyVault, SealContext } from "../../ports/key-vault.ts";

const CIPHER = "aes-256-gcm";
const VERSION = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12; // recommended for GCM (NIST SP 800-38D section 5.2.1.1)
const TAG_BYTES = 16;
const BOX_OVERHEAD = NONCE_BYTES + TAG_BYTES;

/**
 * Encrypts with AES-256-GCM and a random data key per row, which is encrypted with a master key. Both are bound to app
 * and kid, so that an attacker who can write to the database cannot swap rows.
 *
 * Layout: version (1 byte) | encrypted data key (60 bytes) | encrypted private key, each as nonce | tag | ciphertext.
 *
 * @param masterKeys the first encrypts, all decrypt
 * @param readAgain reads the master keys again, if they can change while a core runs
 */
export function createEnvelopeVault(
  masterKeys: readonly Uint8Array[],
  readAgain?: () => Promise<readonly Uint8Array[]>,
): KeyVault {
  let current = masterKeyIdOf(masterKeys[0]!);
  // Keeps keys that were removed from their file: a private key encrypted with one might just be written to the store.
  const known = new Map(masterKeys.map((key) => [masterKeyIdOf(key), key]));

  async function reload(): Promise<void> {
    if (readAgain === undefined) return;
    const keys = await readAgain();
    for (const key of keys) known.set(masterKeyIdOf(key), key);
    current = masterKeyIdOf(keys[0]!);
  }

  return Object.freeze<KeyVault>({
    get masterKeyId() {
      return current;
    },
    has: (masterKeyId) => known.has(masterKeyId),
    reload,
    async seal(plaintext, context) {
      const masterKeyId = current;
      const dataKey = randomBytes(KEY_BYTES);
      const data = associatedData(context);
      const wrapped = sealBox(known.get(masterKeyId)!, dataKey, data);
      return {
        sealedPrivateKey: Buffer.concat([Buffer.of(VERSION), wrapped, sealBox(dataKey, plaintext, data)]),
        masterKeyId,
      };
    },
    async open(sealed, context) {
      const wrapped = 1 + KEY_BYTES + BOX_OVERHEAD;
      if (sealed[0] !== VERSION || sealed.length < wrapped + BOX_OVERHEAD)
        throw new Error("not an envelope of this vault");
      const data = associatedData(context);
      const dataKey = openBox(await masterKeyNamed(context.masterKeyId), sealed.subarray(1, wrapped), data);
      return openBox(dataKey, sealed.subarray(wrapped), data);
    },
  });

  async function masterKeyNamed(id: string): Promise<Uint8Array> {
    if (!known.has(id)) await reload();
    const named = known.get(id);
    if (named === undefined) throw new Error(`needs master key ${id}, which is not configured`);
    return named;
  }
}

/** Identifies a master key without revealing anything about it. */
export function masterKeyIdOf(masterKey: Uint8Array): string {
  if (masterKey.length !== KEY_BYTES) throw new RangeError(`master key: expected ${KEY_BYTES} bytes`);
  return createHash("sha256").update("countersign master key id\0").update(masterKey).digest("hex").slice(0, 16);
}

/** App IDs and kids contain no NUL, so the bytes of two contexts always differ. */
function associatedData({ appId, kid }: SealContext): Buffer {
  return Buffer.from(`countersign\0${appId}\0${kid}`);
}

function sealBox(key: Uint8Array, plaintext: Uint8Array, data: Uint8Array): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(data);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]);
}

function openBox(key: Uint8Array, box: Uint8Array, data: Uint8Array): Buffer {
  const nonce = box.subarray(0, NONCE_BYTES);
  const tag = box.subarray(NONCE_BYTES, BOX_OVERHEAD);
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES }).setAAD(data).setAuthTag(tag);
  return Buffer.concat([decipher.update(box.subarray(BOX_OVERHEAD)), decipher.final()]);
}
