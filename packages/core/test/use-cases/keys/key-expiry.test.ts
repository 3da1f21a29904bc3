// R16: a token never outlives its key, for any requested lifetime at any time.
import { createPublicKey, verify } from "node:crypto";
import fc from "fast-check";
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { decodeJwt, LIMITS, readJwk } from "countersign/protocol";
import { expect, it } from "vitest";
import { problemsOfRotationPolicy } from "../../../src/domain/keys/rotation.ts";
import { embedCore, type RotationPolicy } from "../../../src/index.ts";
import { ADMIN_KEY, partsOf } from "../../support/core.ts";
import { fakeClock } from "../../support/clock.ts";
import { tempDir } from "../../support/temp-dir.ts";

const SECOND = 1_000;
/** Milliseconds of real time between the core's polls. */
const POLL_INTERVAL = 2;

const policies = fc
  .record({
    lead: fc.integer({ min: 2, max: 60 }),
    period: fc.integer({ min: 2, max: 300 }),
    hold: fc.integer({ min: 3, max: 600 }),
  })
  .map(({ lead, period, hold }): RotationPolicy => ({
    lead: lead * SECOND + POLL_INTERVAL,
    period: period * SECOND + POLL_INTERVAL,
    hold: hold * SECOND + POLL_INTERVAL * 2,
    jwksMaxAge: SECOND,
    instanceRefresh: POLL_INTERVAL,
    clockSkew: 0,
    algorithms: ["ES256"],
  }))
  .filter((policy) => problemsOfRotationPolicy(policy).length === 0);

const steps = fc.array(
  fc.record({
    useStatic: fc.boolean(),
    validity: fc.integer({ min: 1, max: 2_000 }),
    /** The part of the period until the next step. A core that polls every few seconds is never later than this. */
    wait: fc.double({ min: 0, max: 0.9, noNaN: true }),
  }),
  { minLength: 5, maxLength: 25 },
);

it("R16 no token outlives its key, and each verifies until its exp while the core keeps rotating", async () => {
  let [checks, clamped] = [0, 0];
  await fc.assert(
    fc.asyncProperty(policies, steps, async (rotation, plan) => {
      const clock = fakeClock();
      const core = await embedCore(
        { dataDir: await tempDir(), rotation, adminKeys: [ADMIN_KEY] },
        { clock, environment: {} },
      );
      const ask = async <T>(path: string, init: RequestInit = {}) => {
        const headers = path.startsWith("/admin/") ? { authorization: `Bearer ${ADMIN_KEY}` } : {};
        const response = await core.fetch(new Request(`http://core.test${path}`, { headers, ...init }));
        expect(response.status).toBe(200);
        return (await response.json()) as T;
      };
      type Views = { keys: { kid: string; state: string; kind: string; verifiesUntil: string | null }[] };
      /** Waits until the core has seen the time and created the keys that are due. */
      const settle = async () => {
        for (let tries = 0; tries < 500; tries++) {
          const { keys } = await ask<Views>("/admin/v1/apps/public/keys");
          const live = keys.filter((key) => key.kind === "dynamic");
          const due = live.some((key) => key.state === "removed") || !live.some((key) => key.state === "prepared");
          if (!due) return keys;
          await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL));
        }
        throw new Error("the core does not rotate");
      };
      try {
        const tokens: { jwt: string; exp: number }[] = [];
        for (const { useStatic, validity, wait } of plan) {
          const keys = await settle();
          const body = JSON.stringify({
            ...{ payload: { sub: "orders" }, algorithm: "ES256", jwksDomain: "https://a.test" },
            ...{ validity, useStaticSigningKey: useStatic },
          });
          const { jwt } = await ask<{ jwt: string }>("/recipe/jwt", { method: "POST", body });
          const { header, claims } = partsOf(jwt);
          const exp = claims["exp"] as number;
          const { verifiesUntil } = keys.find((key) => key.kid === header["kid"])!;
          if (verifiesUntil !== null) expect(exp * SECOND).toBeLessThanOrEqual(Date.parse(verifiesUntil));
          const asked = Math.floor(clock.now() / SECOND) + validity;
          expect(exp).toBeLessThanOrEqual(asked);
          if (exp < asked) clamped++;
          tokens.push({ jwt, exp });

          clock.advance(Math.floor(wait * rotation.period));
          const set = await ask<JSONWebKeySet>("/.well-known/jwks-all.json");
          for (const token of tokens.filter((one) => one.exp * SECOND > clock.now())) {
            const currentDate = new Date(clock.now());
            await jwtVerify(token.jwt, createLocalJWKSet(set), { currentDate, clockTolerance: 0 });
            expect(verifiesByProtocol(token.jwt, set)).toBe(true);
            checks++;
          }
          expect(set.keys.length).toBeLessThanOrEqual(LIMITS.jwksKeys);
        }
      } finally {
        await core.close();
      }
    }),
    { numRuns: 25 },
  );
  expect(checks).toBeGreaterThan(300);
  expect(clamped).toBeGreaterThan(10);
});

/** Verifies with the parts of our verifier. */
function verifiesByProtocol(token: string, set: JSONWebKeySet): boolean {
  const decoded = decodeJwt(token);
  if (!decoded.ok) return false;
  const { header, signingInput, signature } = decoded.jwt;
  const jwk = set.keys.find((key) => key.kid === header.kid);
  if (jwk === undefined || !readJwk(jwk as Parameters<typeof readJwk>[0]).ok) return false;
  const key = createPublicKey({ key: { ...jwk }, format: "jwk" });
  return verify("sha256", Buffer.from(signingInput), { key, dsaEncoding: "ieee-p1363" }, signature);
}
