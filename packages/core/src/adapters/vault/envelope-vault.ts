import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import type { KeyVault, SealContext } from "../../ports/key-vault.ts";

const CIPHER = "aes-256-gcm";
const VERSION = 1;
const KEY_BYTES = 32;
const NONCE_BYTES = 12; // what GCM is made for (NIST SP 800-38D section 5.2.1.1)
const TAG_BYTES = 16;
const BOX_OVERHEAD = NONCE_BYTES + TAG_BYTES;

/**
 * Envelopes of AES-256-GCM: a data key of its own for each row, sealed under a master key. Both are
 * bound to app and kid, so that rows cannot be swapped by whoever can write to the database.
 *
 * Layout: version (1 byte) | sealed data key (60 bytes) | sealed private key, each box being nonce | tag | ciphertext.
 *
 * @param masterKeys the first one seals, any of them opens
 * @param readAgain the master keys as they are now, where they can change while a core runs
 */
export function createEnvelopeVault(
  masterKeys: readonly Uint8Array[],
  readAgain?: () => Promise<readonly Uint8Array[]>,
): KeyVault {
  let current = masterKeyIdOf(masterKeys[0]!);
  // One that has gone from its file stays here: what it opens may be on its way to the store at this moment.
  const ring = new Map(masterKeys.map((key) => [masterKeyIdOf(key), key]));

  async function reload(): Promise<void> {
    if (readAgain === undefined) return;
    const keys = await readAgain();
    for (const key of keys) ring.set(masterKeyIdOf(key), key);
    current = masterKeyIdOf(keys[0]!);
  }

  return Object.freeze<KeyVault>({
    get masterKeyId() {
      return current;
    },
    has: (masterKeyId) => ring.has(masterKeyId),
    reload,
    async seal(plaintext, context) {
      const masterKeyId = current;
      const dataKey = randomBytes(KEY_BYTES);
      const data = associatedData(context);
      const wrapped = sealBox(ring.get(masterKeyId)!, dataKey, data);
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
    if (!ring.has(id)) await reload();
    const named = ring.get(id);
    if (named === undefined) throw new Error(`needs master key ${id}, which is not configured`);
    return named;
  }
}

/** A name for a master key that tells nothing about it. */
export function masterKeyIdOf(masterKey: Uint8Array): string {
  if (masterKey.length !== KEY_BYTES) throw new RangeError(`a master key has ${KEY_BYTES} bytes`);
  return createHash("sha256").update("countersign master key id\0").update(masterKey).digest("hex").slice(0, 16);
}

/** Neither an app id nor a kid of ours can hold NUL, so no two contexts share their bytes. */
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
