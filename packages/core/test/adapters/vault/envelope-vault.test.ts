import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createEnvelopeVault, masterKeyIdOf } from "../../../src/adapters/vault/envelope-vault.ts";

const masterKey = randomBytes(32);
const vault = createEnvelopeVault([masterKey]);
const { masterKeyId } = vault;
const context = { appId: "public", kid: "s-1", masterKeyId };
const seal = async (content: Uint8Array, of = context) => Buffer.from((await vault.seal(content, of)).sealedPrivateKey);
const secret = Buffer.from("a private key, 0123456789 0123456789");

/** The regions of an envelope. */
const REGIONS = {
  version: [0, 1],
  "nonce of the data key": [1, 13],
  "tag of the data key": [13, 29],
  "data key": [29, 61],
  "nonce of the private key": [61, 73],
  "tag of the private key": [73, 89],
  "private key": [89, 89 + secret.length],
} as const;

describe("the envelope vault (S8)", () => {
  it("decrypts its own envelopes, and those of another vault with the same master key", async () => {
    const sealed = await seal(secret);
    expect(sealed).toHaveLength(89 + secret.length);
    expect(Buffer.from(await createEnvelopeVault([Buffer.from(masterKey)]).open(sealed, context))).toEqual(secret);
  });

  it("encrypts and decrypts any content, also empty content", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3000 }), fc.string(), fc.string(), async (bytes, appId, kid) => {
        const of = { appId, kid, masterKeyId };
        const opened = await vault.open(await seal(bytes, of), of);
        expect(Buffer.from(opened).equals(Buffer.from(bytes))).toBe(true);
      }),
    );
  });

  it("never produces the same envelope twice, and the envelope does not contain the content", async () => {
    const sealed = await Promise.all([1, 2, 3].map(async () => await seal(secret)));
    expect(new Set(sealed.map((one) => one.toString("hex"))).size).toBe(3);
    expect(new Set(sealed.map((one) => one.subarray(29, 61).toString("hex"))).size).toBe(3); // a new data key each time
    for (const one of sealed) {
      expect(one.includes(secret)).toBe(false);
      expect(one.includes(masterKey)).toBe(false);
    }
  });

  for (const [region, [from, to]] of Object.entries(REGIONS)) {
    it(`rejects an envelope with any bit changed in: ${region}`, async () => {
      const sealed = await seal(secret);
      for (let i = from; i < to; i++) {
        for (let bit = 1; bit < 256; bit *= 2) {
          const changed = Buffer.from(sealed);
          changed[i]! ^= bit;
          await expect(vault.open(changed, context)).rejects.toThrow();
        }
      }
    });
  }

  it("rejects an envelope that was truncated or extended, at any position", async () => {
    const sealed = await seal(secret);
    for (let length = 0; length < sealed.length; length++) {
      await expect(vault.open(sealed.subarray(0, length), context)).rejects.toThrow();
    }
    await expect(vault.open(Buffer.concat([sealed, Buffer.of(0)]), context)).rejects.toThrow();
  });

  it("rejects an envelope of another app or kid, so rows cannot be swapped", async () => {
    const sealed = await seal(secret);
    for (const [appId, kid] of [
      ["other", "s-1"],
      ["public", "s-2"],
      ["s-1", "public"],
      ["public\0s-1", ""],
      ["", "public\0s-1"],
      ["publi", "cs-1"],
    ]) {
      await expect(vault.open(sealed, { appId: appId!, kid: kid!, masterKeyId })).rejects.toThrow();
    }
  });

  it("rejects the data key of one envelope with the content of another", async () => {
    const [a, b] = await Promise.all([seal(secret), seal(secret)]);
    const mixed = Buffer.concat([a.subarray(0, 61), b.subarray(61)]);
    await expect(vault.open(mixed, context)).rejects.toThrow();
  });

  it("rejects everything under another master key", async () => {
    const sealed = await seal(secret);
    const near = Buffer.from(masterKey);
    near[31]! ^= 1;
    for (const key of [randomBytes(32), near, Buffer.alloc(32)]) {
      const other = createEnvelopeVault([key]);
      await expect(other.open(sealed, context)).rejects.toThrow(/needs master key/);
      await expect(other.open(sealed, { ...context, masterKeyId: other.masterKeyId })).rejects.toThrow();
    }
  });

  it("accepts only a master key of 32 bytes", () => {
    for (const length of [0, 16, 31, 33, 64])
      expect(() => createEnvelopeVault([randomBytes(length)])).toThrow(RangeError);
  });

  it("encrypts with the first of several master keys, decrypts with any, and reports which one", async () => {
    const [current, old] = [randomBytes(32), randomBytes(32)];
    const ring = createEnvelopeVault([current, old]);
    expect(ring.masterKeyId).toBe(masterKeyIdOf(current));
    expect([current, old, randomBytes(32)].map((key) => ring.has(masterKeyIdOf(key)))).toEqual([true, true, false]);
    for (const key of [current, old]) {
      const sealed = await createEnvelopeVault([key]).seal(secret, context);
      expect(sealed.masterKeyId).toBe(masterKeyIdOf(key));
      expect(Buffer.from(await ring.open(sealed.sealedPrivateKey, { ...context, ...sealed }))).toEqual(secret);
    }
    const sealed = await ring.seal(secret, context);
    expect(sealed.masterKeyId).toBe(masterKeyIdOf(current));
    const elder = createEnvelopeVault([old]);
    await expect(elder.open(sealed.sealedPrivateKey, { ...context, ...sealed })).rejects.toThrow(/needs master key/);
    const foreign = { ...context, masterKeyId: masterKeyIdOf(randomBytes(32)) };
    await expect(ring.open(sealed.sealedPrivateKey, foreign)).rejects.toThrow(/needs master key [0-9a-f]{16}/);
  });

  it("reloads its master keys before it fails, then encrypts with the new one and still decrypts with removed ones", async () => {
    const [first, second] = [randomBytes(32), randomBytes(32)];
    let file = [first];
    const ring = createEnvelopeVault(file, async () => file);
    const early = await ring.seal(secret, context);
    file = [second];
    const late = await createEnvelopeVault([second]).seal(secret, context);
    expect(Buffer.from(await ring.open(late.sealedPrivateKey, { ...context, ...late }))).toEqual(secret);
    expect(ring.masterKeyId).toBe(late.masterKeyId);
    expect(Buffer.from(await ring.open(early.sealedPrivateKey, { ...context, ...early }))).toEqual(secret);
  });

  it("has a master key ID that reveals nothing about the key", () => {
    expect(vault.masterKeyId).toMatch(/^[0-9a-f]{16}$/);
    expect(masterKeyIdOf(masterKey)).toBe(vault.masterKeyId);
    expect(masterKeyIdOf(randomBytes(32))).not.toBe(vault.masterKeyId);
    expect(masterKey.toString("hex")).not.toContain(vault.masterKeyId);
  });
});
