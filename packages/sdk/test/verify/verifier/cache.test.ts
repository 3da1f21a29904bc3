// Cached tokens: the same decision object means that the token was cached, another one that it was verified again.
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { Decision } from "../../../src/protocol/decision.ts";
import { createVerifiedTokens } from "../../../src/verify/verified-tokens.ts";
import type { Verifier } from "../../../src/verify/verifier.ts";
import { openRoute, openPrimedRoute } from "../../support/protected-route.ts";
import { readerOf, serveIssuer } from "../../support/issuer.ts";
import { ecKey, edKey, forge, goodClaims, headerOf, NOW, tokenBy } from "../../support/keys.ts";

const key = edKey("s-1");
const token = tokenBy(key);

/** Caches a token, which its second use does. */
async function keep(verifier: Verifier, text: string): Promise<Decision> {
  await verifier.verify(text);
  return verifier.verify(text);
}

const isKept = async (verifier: Verifier, text: string) =>
  (await keep(verifier, text)) === (await verifier.verify(Buffer.from(text).toString()));

test("a token is verified twice; later uses return the same decision", async () => {
  const { verifier } = await openRoute([key]);
  const decisions = [await verifier.verify(token), await verifier.verify(token), await verifier.verify(token)];
  expect(decisions[1]).not.toBe(decisions[0]);
  expect(decisions[2]).toBe(decisions[1]);
  expect(decisions[1]).toEqual(decisions[0]);
});

test("simultaneous uses count individually", async () => {
  const { verifier } = await openRoute([key]);
  const decisions = await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token))); // while keys are fetched
  expect(decisions).toContain(await verifier.verify(token));
});

test("marks of tokens that were used once are cleared: few new tokens look used before", () => {
  const cache = createVerifiedTokens<object>();
  const entry = { caller: {}, allowed: Promise.resolve({}), issuer: {}, key: {}, revocations: undefined, expiresAt: 0 };
  let kept = 0;
  for (let i = 0; i < 300_000; i++) {
    const [text, signature] = [`a.b.${i}`.padEnd(50, "x") + i, createHash("sha256").update(String(i)).digest()];
    cache.set({ ...entry, token: text } as unknown as Parameters<typeof cache.set>[0], signature);
    if (i >= 290_000 && cache.get(text) !== undefined) kept++;
  }
  expect(kept).toBeGreaterThan(0); // two tokens can share a mark
  expect(kept).toBeLessThan(2_000);
});

test("tokens that are used once evict nothing, and are cached at their second use", async () => {
  const { verifier } = await openRoute([key]);
  const kept = await keep(verifier, token);
  const ones = Array.from({ length: 12_000 }, (_, i) => tokenBy(key, { jti: `id-${i}` }));
  for (const one of ones) await verifier.verify(one);
  expect(await verifier.verify(token)).toBe(kept);
  for (const one of ones.slice(-10)) expect(await verifier.verify(one)).toBe(await verifier.verify(one));
});

describe("V1 the whole token is the key", () => {
  test("V1 a token with the whole signature of a cached one is distinguished", async () => {
    const { verifier, expectAllowed, expectRefused } = await openRoute([key]);
    await expectAllowed(token);
    const signature = token.split(".")[2]!;
    const forgery = `${tokenBy(key, { sub: "admin" }).replace(/[^.]+$/, "")}${signature}`;
    await expectRefused(forgery, "signature_invalid");
    await expectRefused(signature.slice(-43), "token_malformed");
    expect(await isKept(verifier, token)).toBe(true);
  });

  test("V1 tokens that differ only in their last characters are distinguished", async () => {
    const { verifier, expectAllowed, expectRefused } = await openRoute([key]);
    await expectAllowed(token);
    await expectRefused(token.slice(0, -1), "token_malformed");
    await expectRefused(token.slice(0, -2) + (token.at(-2) === "A" ? "B" : "A") + token.at(-1)!, "signature_invalid");
    await expectRefused(`${token} `, "token_malformed");
    for (const sub of ["a", "b", "c"]) {
      expect((await expectAllowed(tokenBy(key, { sub }))).service).toBe(sub);
      expect(await isKept(verifier, tokenBy(key, { sub }))).toBe(true);
    }
  });

  test("V1 two verifiers share no cached tokens", async () => {
    const one = await openPrimedRoute(key);
    const two = await openRoute([ecKey("s-1")]); // to which the token is a forgery
    expect(await isKept(one.verifier, token)).toBe(true);
    await two.expectRefused(token, "algorithm_not_allowed", { fetches: 1 });
  });
});

test("V2 the rules of a route apply to a cached token as well, each time", async () => {
  const { verifier, clock, expectRefused } = await openPrimedRoute(key, { maxTokenLifetime: 3600, clockTolerance: 0 });
  expect(await isKept(verifier, token)).toBe(true);
  clock.jump(-60); // now it is not valid yet
  await expectRefused(token, "token_not_yet_valid");
  clock.jump(60);
  expect(await isKept(verifier, token)).toBe(true);
});

describe("V3 a cached token expires", () => {
  test.each([[{}], [{ iat: undefined }]])("V3 with its exp and the tolerance, to the second %j", async (claims) => {
    const { verifier, clock, expectRefused, expectAllowed } = await openRoute([key], { clockTolerance: 10 });
    const short = tokenBy(key, { ...claims, exp: NOW + 60 });
    await expectAllowed(short);
    clock.advance(69);
    expect(await isKept(verifier, short)).toBe(true);
    clock.advance(1);
    await expectRefused(short, "token_expired");
  });
});

describe("R6 the clock jumps", () => {
  test("R6 backward, by an hour or a day: an expired cached token stays rejected, and the jump is reported", async () => {
    for (const jump of [-3_600, -86_400]) {
      const { verifier, clock, events, expectAllowed, expectRefused } = await openRoute([key]);
      const short = tokenBy(key, { iat: NOW - 90_000, exp: NOW + 60 });
      expect(await isKept(verifier, short)).toBe(true);
      clock.advance(91);
      clock.jump(jump);
      await expectRefused(short, "token_expired");
      expect(events).toContainEqual({ type: "clock_jumped", seconds: jump });
      // Another token, issued at the time that the clock now shows, is valid.
      await expectAllowed(tokenBy(key, { iat: NOW + 91 + jump, exp: NOW + 91 + jump + 60 }));
      expect(verifier.health().ready).toBe(true);
    }
  });

  test("R6 forward and back again: a valid token is rejected only in the meantime, and cached keys stay fresh", async () => {
    for (const jump of [3_700, 86_400]) {
      const { clock, events, keys, expectAllowed, expectRefused } = await openPrimedRoute(key);
      clock.jump(jump);
      await expectRefused(token, "token_expired");
      clock.jump(-jump);
      await expectAllowed(token);
      expect(keys.fetches()).toBe(1); // ages and pauses are measured with the monotonic clock
      expect(events.filter((event) => event.type === "clock_jumped")).toEqual([
        { type: "clock_jumped", seconds: jump },
        { type: "clock_jumped", seconds: -jump },
      ]);
    }
  });

  test("R6 a slewed clock is not a jump", async () => {
    const { clock, events, expectAllowed } = await openPrimedRoute(key);
    for (let i = 0; i < 20; i++) {
      clock.jump(1);
      clock.advance(1);
      await expectAllowed(token);
    }
    expect(events.filter((event) => event.type === "clock_jumped")).toEqual([]);
  });
});

test("V4 a caller cannot change the decision that the next one gets", async () => {
  const { verifier } = await openRoute([key]);
  const nested = forge(key, headerOf(key), goodClaims({ roles: ["reader"], act: { sub: "a" } }));
  const first = await keep(verifier, nested);
  if (!first.allowed) throw new Error(first.reason);
  const { claims, header } = first.caller;
  for (const change of [
    () => Object.assign(first, { allowed: false }),
    () => Object.assign(first.caller, { service: "admin" }),
    () => Object.assign(claims, { sub: "admin" }),
    () => (claims["roles"] as string[]).push("admin"),
    () => Object.assign(claims["act"] as object, { sub: "admin" }),
    () => Object.assign(header, { kid: "x" }),
  ]) {
    expect(change).toThrow(TypeError);
  }
  expect(await verifier.verify(nested)).toBe(first);
  expect(claims).toMatchObject({ sub: "orders", roles: ["reader"], act: { sub: "a" } });
});

describe("V5 a removed key invalidates its cached tokens", () => {
  test("V5 removed from the set", async () => {
    const issuer = await serveIssuer(key, edKey("s-2"));
    const { verifier, outcome, later } = readerOf(issuer);
    expect(await outcome(token)).toBe("allowed");
    expect(await isKept(verifier, token)).toBe(true);
    issuer.keys = issuer.keys.slice(1);
    await later(60, token, "keys_refreshed");
    expect(await outcome(token)).toBe("key_unknown");
  });

  test("V5 replaced by another under the same kid", async () => {
    const issuer = await serveIssuer(key);
    const { verifier, outcome, later } = readerOf(issuer);
    expect(await outcome(token)).toBe("allowed");
    expect(await isKept(verifier, token)).toBe(true);
    issuer.keys = [edKey("s-1")];
    await later(60, token, "keys_refreshed");
    expect(await outcome(token)).toBe("signature_invalid");
  });

  test("V5 an outdated key set accepts no token, cached or not", async () => {
    const issuer = await serveIssuer(key);
    const { verifier, outcome, clock } = readerOf(issuer, { maxStale: 600 });
    const long = tokenBy(key, { exp: NOW + 86_400 });
    expect(await isKept(verifier, long)).toBe(true);
    issuer.status = 503;
    clock.advance(601);
    expect(await outcome(long)).toBe("keys_unavailable");
  });

  test("an unchanged key set leaves tokens cached", async () => {
    const issuer = await serveIssuer(key);
    issuer.maxAge = 20; // due after 15 to 19 s, overdue 5 s later
    const { verifier, later } = readerOf(issuer, { revocationsUri: null });
    const first = await keep(verifier, token);
    await later(19.5, token, "keys_refreshed");
    const asked = issuer.requests.findLast((request) => request.url === "/jwks-all.json")!;
    expect(asked.headers["if-none-match"]).toBeDefined();
    issuer.keys = [...issuer.keys, edKey("s-2")]; // fetched again, with the same key
    await later(19.5, token, "keys_refreshed");
    expect(await verifier.verify(token)).toBe(first);
  });
});

describe("V6 limits", () => {
  test("V6 10,000 tokens; the least recently used one is evicted first", async () => {
    const { verifier } = await openRoute([key]);
    const tokens = Array.from({ length: 10_001 }, (_, i) => tokenBy(key, { jti: `id-${i}` }));
    const first = await keep(verifier, tokens[0]!);
    const second = await keep(verifier, tokens[1]!);
    for (const one of tokens.slice(2, 10_000)) await keep(verifier, one);
    expect(await verifier.verify(tokens[0]!)).toBe(first);
    await keep(verifier, tokens[10_000]!); // one too many: the second goes, as the first was used since
    expect(await verifier.verify(tokens[0]!)).toBe(first);
    expect(await verifier.verify(tokens[1]!)).not.toBe(second);
  });

  test("V6 twenty thousand failures evict nothing, and are not cached", async () => {
    const { verifier } = await openRoute([key]);
    const kept = await keep(verifier, token);
    const parts = token.split(".");
    for (let i = 0; i < 20_000; i++) await verifier.verify(`${parts[0]}.${parts[1]}.${i}`);
    expect(await verifier.verify(token)).toBe(kept);
  });
});
