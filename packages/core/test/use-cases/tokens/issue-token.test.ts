import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { beforeEach, describe, expect, it } from "vitest";
import { ALGORITHMS, type JsonObject } from "countersign/protocol";
import { algorithmRequested, type TokenRequest } from "../../../src/use-cases/tokens/issue-token.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { partsOf } from "../../support/core.ts";
import { openInstance, type Instance } from "../../support/instance.ts";

const DAY = 86_400_000;
let instance: Instance;
beforeEach(async () => {
  instance = await openInstance({ rotation: { algorithms: ["ES256", "Ed25519"] } });
  await instance.rotateKeys.provisionApp("public");
});

const issue = (rest: Partial<TokenRequest> = {}) =>
  instance.issueToken({
    ...{ appId: "public", kind: "static", algorithm: "ES256", payload: { sub: "orders" }, issuer: "a", validity: 60 },
    ...rest,
  });
const tokenOf = async (rest: Partial<TokenRequest> = {}) => {
  const issued = await issue(rest);
  if (issued.status !== "issued") throw new Error(issued.status);
  return issued.jwt;
};

describe("issueToken", () => {
  it("signs with the active signing key of the requested kind and algorithm, as jose verifies", async () => {
    for (const kind of ["static", "dynamic"] as const) {
      for (const algorithm of ["ES256", "Ed25519"] as const) {
        const jwt = await tokenOf({ kind, algorithm });
        const jwks = createLocalJWKSet(instance.state.publishedSets("public")!.all as unknown as JSONWebKeySet);
        const { protectedHeader } = await jwtVerify(jwt, jwks, { currentDate: new Date(NEW_YEAR) });
        expect(protectedHeader).toEqual({
          alg: algorithm,
          typ: "JWT",
          kid: instance.state.signer("public", kind, algorithm)!.kid,
        });
      }
    }
  });

  it("finds no key for an algorithm that is not configured, or for an unknown app", async () => {
    expect(await issue({ algorithm: "RS256" })).toEqual({ status: "unsupported_algorithm" });
    expect(await issue({ appId: "ghost" })).toEqual({ status: "unsupported_algorithm" });
  });

  it("sets iat from the store's clock (R8)", async () => {
    instance.clock.advance(90_500);
    expect(partsOf(await tokenOf()).claims).toMatchObject({ iat: NEW_YEAR / 1000 + 90, exp: NEW_YEAR / 1000 + 150 });
  });

  it("works for maxRingAge without the store, and not a millisecond longer (R4)", async () => {
    instance.clock.advance(3_600_000);
    expect((await issue()).status).toBe("issued");
    instance.clock.advance(1);
    expect(await issue()).toEqual({ status: "unavailable" });
    await instance.state.refresh();
    expect((await issue()).status).toBe("issued");
  });

  it("never lets a token outlive its key, at any time of the key's lifetime (R16)", async () => {
    for (let i = 0; i < 10; i++) {
      const issued = await issue({ kind: "dynamic", validity: 3_153_600_000 });
      if (issued.status !== "issued") throw new Error(issued.status);
      const { header, claims } = partsOf(issued.jwt);
      const key = instance.state.keysOf("public").find((one) => one.kid === header["kid"])!;
      expect(issued.expiresAt).toBe(claims["exp"]);
      expect(claims["exp"]).toBe(key.verifiesUntil! / 1000);
      instance.clock.advance(4 * DAY);
      await instance.state.refresh();
      await instance.rotateKeys.rotateAll();
    }
  });

  it("measures a token before signing: the largest that fits has 8192 characters at most (T19)", async () => {
    const sizes = [];
    for (let length = 5_850; length < 5_990; length++) {
      const issued = await issue({ payload: { jti: "j", filler: "x".repeat(length) } as JsonObject });
      if (issued.status === "issued") sizes.push(issued.jwt.length);
      else expect(issued).toEqual({ status: "refused", problem: expect.stringContaining("8192") });
    }
    expect(sizes.length).toBeGreaterThan(0);
    expect(sizes.length).toBeLessThan(140);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(8192);
    expect(Math.max(...sizes)).toBeGreaterThan(8188);
  });

  it("rejects what a verifier would not read, from any caller (T20, T21, C7)", async () => {
    const deep = JSON.parse('{"a":'.repeat(17) + "1" + "}".repeat(17)) as JsonObject;
    for (const payload of [deep, { a: "\ud800" }, JSON.parse('{"__proto__":{"a":1}}') as JsonObject]) {
      expect(await issue({ payload })).toEqual({ status: "refused", problem: expect.stringMatching(/^payload/) });
    }
  });

  it("passes on why a payload is rejected", async () => {
    expect(await issue({ payload: { exp: 1 } })).toEqual({
      status: "refused",
      problem: expect.stringContaining("validity"),
    });
  });

  it("counts each token until it expires, for each key, as a lower bound of what a revocation affects", async () => {
    const key = instance.state.signer("public", "static", "ES256")!;
    for (const validity of [1, 1, 60, 3_600, 3_153_600_000]) await tokenOf({ validity });
    await tokenOf({ algorithm: "Ed25519" });
    const counted = [0, 1_000, 60_000, 3_600_000].map((ms) => {
      instance.clock.advance(NEW_YEAR + ms - instance.clock.now());
      return instance.state.unexpiredHere(key);
    });
    expect(counted).toEqual([5, 3, 2, 1]);
  });

  it("does not change its payload", async () => {
    const payload = Object.freeze({ sub: "a", deep: Object.freeze({ b: 1 }) });
    const jwt = await tokenOf({ payload });
    expect(partsOf(jwt).claims).toMatchObject(payload);
  });
});

describe("algorithmRequested", () => {
  it("accepts our algorithms in any case, EdDSA by its older name, and nothing else (T1, T3)", () => {
    for (const algorithm of ALGORITHMS) {
      for (const name of [algorithm, algorithm.toLowerCase(), algorithm.toUpperCase()]) {
        expect(algorithmRequested(name)).toBe(algorithm);
      }
    }
    expect(algorithmRequested("EDDSA")).toBe("Ed25519");
    const others = [
      "",
      "none",
      "NONE",
      "HS256",
      "RS384",
      "RS512",
      "PS256",
      "ES384",
      "ES256K",
      "Ed448",
      " RS256",
      "RS256\0",
      "__proto__",
    ];
    expect(others.map(algorithmRequested)).toEqual(others.map(() => undefined));
  });
});
