import { describe, expect, it } from "vitest";
import { planRotation } from "../../../src/domain/keys/rotation.ts";
import {
  isLive,
  nextChangeOf,
  publishedKeys,
  signerOf,
  successorOf,
  type SigningKey,
} from "../../../src/domain/keys/signing-key.ts";
import { RSA_ROTATION, signingKey } from "../../support/keys.ts";

const dynamic = (sequence: number, signsFrom: number, verifiesUntil: number, rest = {}) =>
  signingKey({
    kid: `d-${sequence}`,
    kind: "dynamic",
    sequence,
    signsFrom,
    signsUntil: signsFrom + 10,
    verifiesUntil,
    ...rest,
  });

describe("isLive", () => {
  it("ends exactly at verifiesUntil, and at a revocation", () => {
    const key = dynamic(1, 0, 100);
    expect([0, 99, 100, 101].map((now) => isLive(key, now))).toEqual([true, true, false, false]);
    expect(isLive(signingKey(), Number.MAX_SAFE_INTEGER)).toBe(true);
    expect(isLive(signingKey({ revokedAt: 5 }), 0)).toBe(false);
  });
});

describe("signerOf", () => {
  const keys = [dynamic(1, 0, 50), dynamic(2, 10, 60), dynamic(3, 20, 70), signingKey({ kid: "s-1", signsFrom: 0 })];
  const signs = (now: number) => signerOf(keys, "dynamic", "RS256", now)?.kid;

  it("is the newest key whose activation time has passed", () => {
    expect([0, 9, 10, 19, 20, 69].map(signs)).toEqual(["d-1", "d-1", "d-2", "d-2", "d-3", "d-3"]);
  });

  it("signs past signsUntil while its successor is late, until it expires", () => {
    expect([30, 69, 70].map(signs)).toEqual(["d-3", "d-3", undefined]);
  });

  it("is the first key if a clock moved back before every activation time, without a new key", () => {
    expect(signs(-1)).toBe("d-1");
    const plan = planRotation([...keys, signingKey({ signsFrom: 0 })], RSA_ROTATION, -60_000);
    expect(plan.filter((step) => step.type === "create" && step.signsFrom <= -60_000)).toEqual([]);
  });

  it("is the prepared successor after a revocation, immediately and permanently", () => {
    const revoked = [dynamic(1, 0, 50), dynamic(2, 10, 60, { revokedAt: 11 }), dynamic(3, 20, 70)];
    expect([12, 20, 25].map((now) => signerOf(revoked, "dynamic", "RS256", now)?.kid)).toEqual(["d-3", "d-3", "d-3"]);
    const policy = { ...RSA_ROTATION, lead: 5, period: 10, hold: 40 };
    // The next key is prepared for the end of the successor's period, and published in advance.
    expect(
      planRotation(revoked, policy, 12).filter((step) => step.type === "create" && step.kind === "dynamic"),
    ).toEqual([expect.objectContaining({ sequence: 4, signsFrom: 30 })]);
  });

  it("is undefined after a revocation: a retired key never returns", () => {
    const revoked = [dynamic(1, 0, 50), dynamic(2, 10, 60, { revokedAt: 11 })];
    expect(signerOf(revoked, "dynamic", "RS256", 12)).toBeUndefined();
  });

  it("is never a retired key, even if the clock moved back after its successor was revoked", () => {
    const retired = signingKey({ kid: "s-1", signsFrom: 100, signsUntil: 10 });
    const revoked = signingKey({ kid: "s-2", sequence: 2, signsFrom: 10, revokedAt: 20 });
    const next = signingKey({ kid: "s-3", sequence: 3, signsFrom: 20 });
    const kids = (given: SigningKey[]) => [5, 15, 25, 100].map((now) => signerOf(given, "static", "RS256", now)?.kid);
    expect(kids([retired, revoked, next])).toEqual(["s-3", "s-3", "s-3", "s-3"]);
    expect(kids([retired, revoked])).toEqual([undefined, undefined, undefined, undefined]);
  });

  it("is never a key imported only for verification, for any dates", () => {
    const imported = signingKey({ sequence: 0, signsFrom: 0 });
    expect([-1, 0, 1].map((now) => signerOf([imported], "static", "RS256", now))).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("keeps signing until its successor's activation time if its end moved before its own activation time", () => {
    // A clock moved back before the activation time of the only key, and the key was rotated then.
    const first = signingKey({ kid: "s-1", signsFrom: 100, signsUntil: 20 });
    const second = signingKey({ kid: "s-2", sequence: 2, signsFrom: 20 });
    expect([10, 19, 20].map((now) => signerOf([first, second], "static", "RS256", now)?.kid)).toEqual([
      "s-1",
      "s-1",
      "s-2",
    ]);
  });

  it("is separate for kinds and algorithms", () => {
    const mixed = [...keys, dynamic(9, 0, 50, { kid: "d-es", algorithm: "ES256" })];
    expect(signerOf(mixed, "static", "RS256", 30)?.kid).toBe("s-1");
    expect(signerOf(mixed, "dynamic", "ES256", 30)?.kid).toBe("d-es");
    expect(signerOf(mixed, "static", "ES256", 30)).toBeUndefined();
    expect(signerOf(mixed, "dynamic", "__proto__", 30)).toBeUndefined();
  });

  it("does not depend on the order of the keys", () => {
    expect(signerOf([...keys].reverse(), "dynamic", "RS256", 15)?.kid).toBe("d-2");
  });
});

describe("successorOf", () => {
  it("is the first of the keys that wait for activation, in any order", () => {
    const signer = dynamic(1, 0, 50);
    const waiting = [dynamic(4, 40, 90), dynamic(2, 10, 60, { revokedAt: 5 }), dynamic(3, 20, 70)];
    for (const keys of [waiting, [...waiting].reverse()]) expect(successorOf(keys, signer, 5)?.kid).toBe("d-3");
    expect(successorOf(waiting, signer, 20)?.kid).toBe("d-4");
    expect(successorOf([dynamic(0, 10, 60), signingKey({ sequence: 2, signsFrom: 10 })], signer, 5)).toBeUndefined();
  });
});

describe("publishedKeys", () => {
  it("lists static before dynamic keys, each signer first, then the newest, and no expired key", () => {
    const keys = [
      dynamic(1, -40, 5),
      dynamic(2, -10, 50),
      dynamic(3, 0, 60),
      dynamic(4, 20, 70),
      signingKey({ kid: "s-1", sequence: 1, signsFrom: 0 }),
      signingKey({ kid: "s-2", sequence: 2, signsFrom: 5 }),
      signingKey({ kid: "s-0", sequence: 3, signsFrom: 0, revokedAt: 1 }),
    ];
    const kids = (now: number) => publishedKeys(keys.slice(0, 6), now).map((key) => key.kid);
    expect(kids(10)).toEqual(["s-2", "s-1", "d-3", "d-4", "d-2"]); // d-1 has expired
    expect(kids(4)).toEqual(["s-1", "s-2", "d-3", "d-4", "d-2", "d-1"]);
    expect(publishedKeys(keys, 10).map((key) => key.kid)).not.toContain("s-0");
  });

  it("does not change its input", () => {
    const keys = Object.freeze([dynamic(2, 10, 60), signingKey()]);
    expect(publishedKeys(keys, 20)[0]).toBe(keys[1]);
  });
});

describe("nextChangeOf", () => {
  it("is the next date at which a key begins to sign or expires", () => {
    const keys = [dynamic(1, 0, 50), dynamic(2, 10, 60), signingKey({ signsFrom: -5 })];
    expect([-10, -5, 0, 10, 49, 50, 60].map((now) => nextChangeOf(keys, now))).toEqual([
      -5,
      0,
      10,
      50,
      50,
      60,
      Infinity,
    ]);
    expect(nextChangeOf([], 0)).toBe(Infinity);
  });
});
