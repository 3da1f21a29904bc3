import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { fakeClock, NEW_YEAR, type FakeClock } from "../../support/clock.ts";
import { partsOf, startTestCore, type TestCore } from "../../support/core.ts";

const DAY = 86_400_000;
const PERIOD = 7 * DAY;
const HOLD = 30 * DAY;
const HUNDRED_YEARS = 3_153_600_000;

let core: TestCore;
let clock: FakeClock;
beforeAll(async () => {
  clock = fakeClock();
  core = await startTestCore({ maxRingAge: 1e15 }, { clock });
});

const dynamic = { useStaticSigningKey: false };
const verifiesAt = async (jwt: string, ms: number) => {
  const jwks = createLocalJWKSet({ keys: await core.keys() } as unknown as JSONWebKeySet);
  return jwtVerify(jwt, jwks, { currentDate: new Date(ms) }).then(
    () => true,
    () => false,
  );
};

describe("a dynamic token with a longer lifetime than its key (R16)", () => {
  it("gets the latest exp its key allows, and the response has it", async () => {
    const answer = await core.post({ ...dynamic, validity: HUNDRED_YEARS });
    const { status, jwt, expiresAt, ...rest } = answer.json;
    expect([status, rest]).toEqual(["OK", {}]);
    const { claims } = partsOf(jwt as string);
    expect(claims["iat"]).toBe(NEW_YEAR / 1000);
    expect(claims["exp"]).toBe((NEW_YEAR + PERIOD + HOLD) / 1000);
    expect(expiresAt).toBe(claims["exp"]);
  });

  it("is clamped if it is one second too long", async () => {
    const allowed = (PERIOD + HOLD) / 1000;
    expect((await core.post({ ...dynamic, validity: allowed })).json["expiresAt"]).toBeUndefined();
    expect((await core.post({ ...dynamic, validity: allowed + 1 })).json["expiresAt"]).toBe(NEW_YEAR / 1000 + allowed);
  });

  it("is not clamped if it is static", async () => {
    const { json } = await core.post({ validity: HUNDRED_YEARS });
    expect(json["expiresAt"]).toBeUndefined();
    expect(partsOf(json["jwt"] as string).claims["exp"]).toBe(NEW_YEAR / 1000 + HUNDRED_YEARS);
  });
});

describe("over several weeks", () => {
  it("keys change on time, and every token verifies until its exp (R16)", async () => {
    const issued: { jwt: string; exp: number; kid: unknown }[] = [];
    const start = clock.now();
    for (let day = 0; day <= 38; day++) {
      const answer = await core.post({ ...dynamic, validity: 20 * 86_400 });
      const { header, claims } = partsOf(answer.json["jwt"] as string);
      expect(claims["iat"]).toBe(clock.now() / 1000);
      issued.push({ jwt: answer.json["jwt"] as string, exp: claims["exp"] as number, kid: header["kid"] });
      expect((await core.keys())[1]!.kid).toBe(header["kid"]); // The active signing key of its kind comes first.
      for (const { jwt, exp } of issued.slice(-25)) {
        expect(await verifiesAt(jwt, clock.now())).toBe(clock.now() < exp * 1000);
      }
      clock.advance(DAY);
      // The core checks its keys every second. A day ends only when it has prepared the next key.
      await vi.waitFor(async () => expect((await core.keys()).length).toBe(keysOnDay(day + 1)), {
        timeout: 5_000,
        interval: 20,
      });
    }
    const changes = issued.filter(({ kid }, i) => i > 0 && kid !== issued[i - 1]!.kid).map(({ kid }) => kid);
    expect(changes).toHaveLength(5); // on days 7, 14, ... 35
    expect(new Set(issued.map(({ kid }) => kid)).size).toBe(6);
    expect(clock.now()).toBe(start + 39 * DAY);
  }, 60_000);

  /** Counts the static key, the prepared key, and each that began to sign in the last period and hold. */
  function keysOnDay(day: number): number {
    const begun = Math.floor(day / 7) + 1;
    const gone = Math.max(0, Math.floor((day - 37) / 7) + 1);
    return 2 + begun - gone;
  }
});
