// Managing keys on an instance without HTTP: accepted and rejected imports, and races with them.
import { generateKeyPairSync, type JsonWebKey, type KeyObject } from "node:crypto";
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { LIMITS, type Algorithm } from "countersign/protocol";
import type { ImportRequest } from "../../../src/use-cases/keys/manage-keys.ts";
import { openInstance, pass, startInstance, type Instance } from "../../support/instance.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

const pair = (...parameters: unknown[]) =>
  (generateKeyPairSync as (...given: unknown[]) => { privateKey: KeyObject })(...parameters).privateKey;
const jwkOf = (key: KeyObject) => key.export({ format: "jwk" }) as JsonWebKey & Record<string, unknown>;
const pemOf = (key: KeyObject) => key.export({ format: "pem", type: "pkcs8" }) as string;
const rsa = () => jwkOf(pair("rsa", { modulusLength: 2048 }));
const ec = () => jwkOf(pair("ec", { namedCurve: "P-256" }));
const ed = () => jwkOf(pair("ed25519"));

describe("an import", () => {
  let instance: Instance;
  beforeAll(async () => {
    instance = await startInstance();
  });
  const importKey = (key: ImportRequest["key"], rest: Partial<ImportRequest> = {}) =>
    instance.manageKeys.importKey("public", { kid: "s-in", key, signs: false, verifiesUntil: null, ...rest });

  it.each<[string, () => ImportRequest["key"]]>([
    ...["n", "d", "p", "q", "dp", "dq", "qi"].map((name): [string, () => ImportRequest["key"]] => [
      `RSA, ${name} of another key`,
      () => ({ ...rsa(), [name]: rsa()[name] }),
    ]),
    ["RSA, p of 1", () => ({ ...rsa(), p: "AQ" })],
    ["RSA, without q", () => ({ ...rsa(), q: "AA" })],
    ["ES256, x and y of another key", () => ({ ...ec(), d: ec().d })],
    ["Ed25519, x of another key", () => ({ ...ed(), x: ed().x })],
  ])("is rejected if its parts belong to two keys: %s", async (_, key) => {
    for (const signs of [false, true]) {
      expect(await importKey(key(), { signs })).toEqual({
        ok: false,
        status: 400,
        problem: "key: the private and public parts do not match",
      });
    }
  });

  it.each<[string, () => ImportRequest["key"], RegExp]>([
    ["P-224", () => pemOf(pair("ec", { namedCurve: "secp224r1" })), /expected an RSA, P-256 or Ed25519 key/],
    ["brainpool", () => pemOf(pair("ec", { namedCurve: "brainpoolP256r1" })), /expected an RSA, P-256 or Ed25519 key/],
    ["RSA-PSS", () => pemOf(pair("rsa-pss", { modulusLength: 2048 })), /expected an RSA, P-256 or Ed25519 key/],
    ["DSA", () => pemOf(pair("dsa", { modulusLength: 2048, divisorLength: 256 })), /RSA, P-256 or Ed25519/],
    ["DH", () => pemOf(pair("dh", { group: "modp14" })), /expected an RSA, P-256 or Ed25519 key/],
    ["secp256k1", () => pemOf(pair("ec", { namedCurve: "secp256k1" })), /crv is not P-256/],
    ["P-521", () => pemOf(pair("ec", { namedCurve: "P-521" })), /crv is not P-256/],
    ["Ed448", () => pemOf(pair("ed448")), /crv is not Ed25519/],
    ["X25519", () => pemOf(pair("x25519")), /crv is not Ed25519/],
    [
      "an encrypted PEM",
      () =>
        pair("ed25519").export({ format: "pem", type: "pkcs8", cipher: "aes-256-cbc", passphrase: "secret" }) as string,
      /PEM without a passphrase/,
    ],
    ["a JWK for PS256", () => ({ ...rsa(), alg: "PS256" }), /alg does not match/],
    ["a JWK for encryption", () => ({ ...rsa(), use: "enc" }), /use is not 'sig'/],
    ["a JWK for decryption", () => ({ ...rsa(), key_ops: ["decrypt"] }), /^key: key_ops must include "sign"$/],
    [
      "a JWK of another kid",
      () => ({ ...ec(), kid: "<script>" }),
      /^key: its kid differs from the kid of the request$/,
    ],
  ])("is rejected with the reason: %s (400)", async (_, key, words) => {
    expect(await importKey(key())).toEqual({ ok: false, status: 400, problem: expect.stringMatching(words) });
    expect(instance.state.keysOf("public").map((one) => one.kid)).not.toContain("s-in");
  });

  it.each<[Algorithm, () => JsonWebKey & Record<string, unknown>]>([
    ["RS256", rsa],
    ["ES256", ec],
    ["Ed25519", ed],
  ])("accepts matching metadata in a JWK: %s", async (algorithm, key) => {
    const kid = `s-${algorithm}`;
    const given = { ...key(), kid, use: "sig", alg: algorithm === "Ed25519" ? "EdDSA" : algorithm, key_ops: ["sign"] };
    expect(await importKey(given, { kid })).toMatchObject({ ok: true, value: { kid, algorithm } });
  });

  it("signs tokens that verify with the published set once it is the active signing key", async () => {
    const own = await startInstance({ rotation: { algorithms: ["Ed25519"] } });
    const request = { kid: "s-chosen", key: ed(), signs: true, verifiesUntil: null };
    expect(await own.manageKeys.importKey("public", request)).toMatchObject({ ok: true });
    await pass(own, 10 * MINUTE);
    const token = await own.issueToken({
      ...{ appId: "public", kind: "static", algorithm: "Ed25519", payload: {}, issuer: "a", validity: 60 },
    });
    if (token.status !== "issued") throw new Error(token.status);
    const set = createLocalJWKSet(own.state.publishedSets("public")!.all as unknown as JSONWebKeySet);
    const { protectedHeader } = await jwtVerify(token.jwt, set, { currentDate: new Date(own.clock.now()) });
    expect(protectedHeader.kid).toBe("s-chosen");
  });

  it("never brings back a revoked key: not immediately, not under another kid, not after the feed has dropped it", async () => {
    const key = ec();
    await importKey(key, { kid: "s-old" });
    await instance.manageKeys.revoke("public", "s-old");
    const again = { ok: false, status: 409, problem: "this key has been revoked" };
    for (const wait of [0, 8 * DAY, 365 * DAY]) {
      await pass(instance, wait);
      for (const kid of ["s-old", "s-new"]) expect(await importKey(key, { kid })).toEqual(again);
    }
    expect(instance.state.feedOf("public")!.claims.kids).toEqual([]);
  });
});

describe("a key and its prepared successor", () => {
  it("R16 a static key can be rotated again after its prepared successor was revoked", async () => {
    const instance = await startInstance();
    const rotate = () => instance.manageKeys.rotate("public", "static", "ES256", null);
    const prepared = () =>
      instance.manageKeys.list("public").find((key) => key.kid.startsWith("s-") && key.state === "prepared");
    expect(await rotate()).toMatchObject({ ok: true });
    await instance.manageKeys.revoke("public", prepared()!.kid);
    expect(prepared()).toBeUndefined();
    await pass(instance, 1_000);
    expect(await rotate()).toMatchObject({ ok: true });
    const next = prepared()!;
    await pass(instance, 10 * MINUTE);
    expect(instance.state.signer("public", "static", "ES256")!.kid).toBe(next.kid);
  });

  it("R16 a static key with an end has a published successor, even if the first one was revoked", async () => {
    const instance = await startInstance();
    const keepUntil = instance.clock.now() + DAY;
    const rotated = await instance.manageKeys.rotate("public", "static", "ES256", keepUntil);
    if (!rotated.ok) throw new Error(rotated.problem);
    const prepared = rotated.value.find((key) => key.kind === "static" && key.state === "prepared")!;
    await instance.manageKeys.revoke("public", prepared.kid);
    await pass(instance, DAY - 10 * MINUTE);
    const known = instance.state.publishedSets("public")!.all.keys.map((key) => key.kid);
    await pass(instance, 10 * MINUTE);
    expect(known).toContain(instance.state.signer("public", "static", "ES256")!.kid);
  });
});

describe("two instances", () => {
  it("one can revoke a key that the other has just created, without a poll", async () => {
    const one = await startInstance();
    const other = await openInstance({ dataDir: one.dataDir, clock: one.clock });
    const rotated = await one.manageKeys.rotate("public", "static", "ES256", null);
    if (!rotated.ok) throw new Error(rotated.problem);
    const { kid } = rotated.value.find((key) => key.kind === "static" && key.state === "prepared")!;
    expect(await other.manageKeys.revoke("public", kid)).toMatchObject({ ok: true, value: { kid, state: "revoked" } });
  });

  it("cannot exceed the limit of published keys together: concurrent changes count (R7)", async () => {
    const one = await startInstance();
    let beforeWrite = async () => {};
    const other = await openInstance({
      ...{ dataDir: one.dataDir, clock: one.clock },
      storeOf: (real) => ({
        ...real,
        write: async (work) => {
          const first = beforeWrite;
          beforeWrite = async () => {};
          await first();
          return real.write(work);
        },
      }),
    });
    const importInto = (instance: Instance, kid: string) =>
      instance.manageKeys.importKey("public", { kid, key: ed(), signs: false, verifiesUntil: null });
    const full = { ok: false, status: 409, problem: expect.stringMatching(/more than 64 keys/) };
    let imported = 0;
    const importMore = async () => {
      const answer = await importInto(one, `i-${imported++}`);
      return answer.ok;
    };
    for (let i = 0; i < 47; i++) await importMore();
    const setAlgorithms = (instance: Instance) => instance.manageApps.setAlgorithms("public", ["ES256", "Ed25519"]);

    beforeWrite = async () => {
      while (await importMore());
    };
    expect(await setAlgorithms(other)).toEqual(full);
    for (let i = 0; i < 10; i++) await one.manageKeys.revoke("public", `i-${i}`);
    beforeWrite = async () => {
      expect(await setAlgorithms(one)).toMatchObject({ ok: true });
      while (await importMore());
    };
    expect(await importInto(other, "s-late")).toEqual(full);
    for (let day = 0; day < 45; day++) {
      await pass(one, DAY);
      expect(one.state.publishedSets("public")!.all.keys.length).toBeLessThanOrEqual(LIMITS.jwksKeys);
    }
  }, 60_000);

  it("create no key of an algorithm that the app has just removed", async () => {
    const one = await startInstance();
    let beforeWrite = async () => {};
    const other = await openInstance({
      ...{ dataDir: one.dataDir, clock: one.clock },
      storeOf: (real) => ({ ...real, write: async (work) => (await beforeWrite(), real.write(work)) }),
    });
    one.clock.advance(8 * DAY); // a successor is due
    await other.state.refresh();
    beforeWrite = async () => void (await one.manageApps.setAlgorithms("public", ["Ed25519"]));
    await other.rotateKeys.rotateAll();
    const made = other.state.keysOf("public").map((key) => `${key.kind} ${key.algorithm} ${key.sequence}`);
    expect(made).not.toContain("dynamic ES256 3");
    expect(made).toContain("dynamic Ed25519 2");
  });

  it("decide by the current algorithms of the app", async () => {
    const one = await startInstance();
    const other = await openInstance({ dataDir: one.dataDir, clock: one.clock });
    await other.manageApps.setAlgorithms("public", ["Ed25519"]);
    const rotated = await one.manageKeys.rotate("public", "static", "Ed25519", null);
    expect(rotated).toMatchObject({ ok: true });
    expect(new Set((await one.store.readSnapshot()).keys.map((key) => key.algorithm))).toEqual(
      new Set(["ES256", "Ed25519"]),
    );
    expect((await one.store.readSnapshot()).keys.filter((key) => key.algorithm === "ES256")).toHaveLength(3);
  });

  it("sign with the current key if an app was recreated and its kid now names another key", async () => {
    const one = await startInstance();
    const other = await openInstance({ dataDir: one.dataDir, clock: one.clock });
    const verifies = async (instance: Instance) => {
      const token = await instance.issueToken({
        ...{ appId: "shop", kind: "static", algorithm: "ES256", payload: {}, issuer: "a", validity: 600 },
      });
      if (token.status !== "issued") throw new Error(token.status);
      const set = createLocalJWKSet(instance.state.publishedSets("shop")!.all as unknown as JSONWebKeySet);
      return (await jwtVerify(token.jwt, set, { currentDate: new Date(one.clock.now()) })).protectedHeader.kid;
    };
    for (let round = 0; round < 2; round++) {
      await other.manageApps.create("shop");
      await other.manageKeys.importKey("shop", { kid: "s-main", key: ec(), signs: true, verifiesUntil: null });
      await pass(other, 10 * MINUTE);
      await one.state.refresh();
      expect([await verifies(one), await verifies(other)]).toEqual(["s-main", "s-main"]);
      await other.manageApps.remove("shop");
    }
  });
});
