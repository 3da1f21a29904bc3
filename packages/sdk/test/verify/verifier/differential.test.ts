// Compares the verifier with jose on valid tokens that were changed. `npm run bench -- differential` runs 2,000,000.
import {
  createLocalJWKSet,
  jwtVerify,
  type JSONWebKeySet,
  type JWTPayload,
  type JWTVerifyOptions,
  type JWTVerifyResult,
} from "jose";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Reason } from "../../../src/protocol/reasons.ts";
import { buildVerifier } from "../../../src/verify/verifier.ts";
import type { VerifierOptions } from "../../../src/verify/verifier-options.ts";
import { fakeClock } from "../../support/clock.ts";
import { closing } from "../../support/protected-route.ts";
import { ecKey, edKey, goodClaims, NOW, rsaKey, type Jwk } from "../../support/keys.ts";
import { serveKeys } from "../../support/key-server.ts";
import { mutatedToken } from "../../support/mutated-token.ts";
import { mutations } from "../../support/token-mutation.ts";
import { rounds } from "../../../../../test/support/rounds.ts";

const TOKENS = rounds({ quick: 2_000, short: 5_000, full: 20_000 });
/** The same tokens on every run, so that a failure can be reproduced. TOKENS_SEED selects others. */
const SEED = Number(process.env["TOKENS_SEED"] ?? 1);

const keys = [rsaKey(), ecKey(), edKey()];
// Without `alg`, because jose treats Ed25519 and EdDSA, its older name, as two algorithms.
const jwks = keys.map((key): Jwk => ({ ...key.jwk, alg: undefined }));

interface Settings {
  readonly ours: Omit<VerifierOptions, "jwksUri">;
  /** The same options for jose. */
  readonly jose: JWTVerifyOptions & { clockTolerance: number };
  /** Claims of its tokens in addition to `goodClaims`. */
  readonly claims: object;
}

const routes: readonly Settings[] = [
  { ours: {}, jose: { algorithms: ["RS256", "ES256", "Ed25519", "EdDSA"], clockTolerance: 30 }, claims: {} },
  {
    ours: { issuer: "https://core.test", audience: ["inventory", "stock"], clockTolerance: 0 },
    jose: {
      issuer: "https://core.test",
      audience: ["inventory", "stock"],
      algorithms: ["RS256", "ES256", "Ed25519", "EdDSA"],
      clockTolerance: 0,
    },
    claims: { aud: ["other", "stock"] },
  },
  {
    ours: { audience: null, requiredClaims: {}, clockTolerance: 300, algorithms: ["RS256", "EdDSA"] },
    jose: { algorithms: ["RS256", "Ed25519", "EdDSA"], clockTolerance: 300 },
    claims: { aud: "anybody", nbf: NOW },
  },
];

/** A token that jose accepts: three parts, the first two of them JSON objects. */
interface Seen {
  readonly token: string;
  readonly route: Settings;
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: JWTPayload;
  /** The text of header and payload, and the result of JSON.parse. */
  readonly texts: readonly string[];
  readonly leaves: readonly Leaf[];
}

interface Leaf {
  /** Undefined in a list. */
  readonly name: string | undefined;
  readonly value: unknown;
}

function* leavesOf(tree: unknown): Generator<Leaf> {
  if (typeof tree !== "object" || tree === null) return;
  for (const [name, value] of Object.entries(tree)) {
    yield { name: Array.isArray(tree) ? undefined : name, value };
    yield* leavesOf(value);
  }
}

function depthOf(tree: unknown): number {
  return typeof tree === "object" && tree !== null ? 1 + Math.max(0, ...Object.values(tree).map(depthOf)) : 0;
}

/** A string before a colon is a name, at any depth. */
const namesIn = (text: string) => [...text.matchAll(/"(?:[^"\\]|\\.)*"(\s*:)?/g)].filter((match) => match[1]).length;
const isCanonical = (part: string) => Buffer.from(part, "base64url").toString("base64url") === part;
const isWellFormed = (value: unknown) => typeof value !== "string" || Buffer.from(value).toString() === value;
const isTime = (value: unknown) => value === undefined || (Number.isInteger(value) && inRange(value as number));
const inRange = (seconds: number) => seconds >= 0 && seconds <= 253_402_300_799;
const isName = (value: unknown) => value === undefined || (typeof value === "string" && !value.includes("\0"));

/**
 * Everything that we reject and jose accepts, each with our reason. Each rule inspects the token itself and never uses
 * our decision: we accept exactly the tokens that match no rule.
 */
const STRICTER: Readonly<Record<string, readonly [Reason, (seen: Seen) => boolean]>> = {
  "longer than 8192 characters": ["token_too_large", ({ token }) => token.length > 8192],
  "a header of more than 1024 bytes": ["token_too_large", ({ texts }) => Buffer.from(texts[0]!).length > 1024],
  "base64url that is not canonical": ["token_malformed", ({ token }) => !token.split(".").every(isCanonical)],
  "a byte order mark": ["token_malformed", ({ texts }) => texts.some((text) => text.startsWith("\ufeff"))],
  "more than 16 levels": [
    "token_malformed",
    ({ header, claims }) => [header, claims].some((tree) => depthOf(tree) > 16),
  ],
  "a name twice": [
    "token_malformed",
    ({ texts, leaves }) =>
      texts.reduce((sum, text) => sum + namesIn(text), 0) !== leaves.filter(({ name }) => name !== undefined).length,
  ],
  "a name that reaches a prototype": [
    "token_malformed",
    ({ leaves }) => leaves.some(({ name = "" }) => ["__proto__", "constructor", "prototype"].includes(name)),
  ],
  "half of a surrogate pair": [
    "token_malformed",
    ({ leaves }) => !leaves.every(({ name, value }) => isWellFormed(name) && isWellFormed(value)),
  ],
  "a number that is infinite": [
    "token_malformed",
    ({ leaves }) => leaves.some(({ value }) => typeof value === "number" && !Number.isFinite(value)),
  ],
  "crit or b64": ["header_not_allowed", ({ header }) => "crit" in header || "b64" in header],
  "no kid of 1 to 256 printable characters": [
    "header_not_allowed",
    ({ header: { kid } }) => !(typeof kid === "string" && /^[ -~]{1,256}$/.test(kid)),
  ],
  "a typ other than JWT and at+jwt": [
    "typ_not_allowed",
    ({ header: { typ } }) => typ !== undefined && typ !== "JWT" && typ !== "at+jwt",
  ],
  "no exp": ["claims_malformed", ({ claims }) => claims.exp === undefined],
  "a time that is not an integer from 0 to 253402300799": [
    "claims_malformed",
    ({ claims: { exp, nbf, iat } }) => ![exp, nbf, iat].every(isTime),
  ],
  "iss, sub or jti that is not a string, or contains NUL": [
    "claims_malformed",
    ({ claims: { iss, sub, jti } }) => ![iss, sub, jti].every(isName),
  ],
  "aud that is neither text nor a list of it": [
    "claims_malformed",
    ({ claims: { aud = [] } }) => ![aud].flat().every((one) => typeof one === "string"),
  ],
  "iat in the future": [
    "token_not_yet_valid",
    ({ claims, route }) => claims.iat !== undefined && claims.iat > NOW + route.jose.clockTolerance,
  ],
  "aud at a route without a name": [
    "audience_mismatch",
    ({ claims, route }) => route.ours.audience === undefined && claims.aud !== undefined,
  ],
  "not the required claims": [
    "claim_mismatch",
    ({ claims, route }) => route.ours.requiredClaims === undefined && claims["source"] !== "microservice",
  ],
};

function inspect(token: string, route: Settings, { protectedHeader: header, payload: claims }: JWTVerifyResult): Seen {
  const texts = token.split(".", 2).map((part) => Buffer.from(part, "base64url").toString());
  return { token, route, header: { ...header }, claims, texts, leaves: [...leavesOf(header), ...leavesOf(claims)] };
}

test(
  `of ${TOKENS} changed tokens we accept what jose accepts, with the same claims, except what has a name here`,
  async () => {
    const server = await serveKeys(...jwks);
    const verifiers = routes.map(({ ours }) =>
      closing(buildVerifier({ ...ours, jwksUri: server.jwksUri }, undefined, fakeClock())),
    );
    const keySet = createLocalJWKSet({ keys: jwks } as JSONWebKeySet);
    const currentDate = new Date(NOW * 1000);
    const counts = new Map(["accepted", "refused by both", ...Object.keys(STRICTER)].map((name) => [name, 0]));
    const count = (name: string) => counts.set(name, counts.get(name)! + 1);

    const sameAnswer = fc.asyncProperty(mutations(routes.length, keys), async (mutation) => {
      const route = routes[mutation.route]!;
      const verifier = verifiers[mutation.route]!;
      const token = mutatedToken(mutation, keys[mutation.key]!, goodClaims({ ...route.claims, ...mutation.claims }));
      const decision = await verifier.verify(token);
      const theirs = await jwtVerify(token, keySet, { ...route.jose, currentDate }).catch(() => undefined);
      expect(await verifier.verify(token), `asked again: ${token}`).toEqual(decision);

      if (theirs === undefined) {
        expect(decision.allowed, `accepted by us alone: ${token}`).toBe(false);
        return void count("refused by both");
      }
      const seen = inspect(token, route, theirs);
      const stricter = Object.entries(STRICTER).filter(([, [, holds]]) => holds(seen));
      for (const [name] of stricter) count(name);
      if (decision.allowed) {
        expect(stricter, `accepted in spite of: ${token}`).toEqual([]);
        expect([decision.caller.claims, decision.caller.header], token).toEqual([
          theirs.payload,
          theirs.protectedHeader,
        ]);
        return void count("accepted");
      }
      const reasons = stricter.map(([, [reason]]) => reason);
      expect(reasons, `refused by us alone, as ${decision.reason}: ${token}`).toContain(decision.reason);
    });
    await fc.assert(sameAnswer, { numRuns: TOKENS, seed: SEED });

    console.log(`seed ${SEED}`, Object.fromEntries(counts));
    // A rule that no token exercises is not tested. Fewer tokens do not exercise every rule.
    if (TOKENS >= 20_000) expect([...counts].filter(([, times]) => times === 0)).toEqual([]);
  },
  60_000 + TOKENS * 5,
);
