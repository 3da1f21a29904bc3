// Revocations on an instance without HTTP: the entries, their lifetime, and the limits of the feed.
import { beforeEach, describe, expect, it } from "vitest";
import { LIMITS, type JsonObject } from "countersign/protocol";
import { StoreUnavailable, type Store } from "../../../src/ports/store.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { partsOf } from "../../support/core.ts";
import { openInstance, startInstance, type Instance } from "../../support/instance.ts";

const YEAR = 365 * 86_400;

let instance: Instance;
beforeEach(async () => {
  instance = await startInstance();
});

const feed = () => instance.state.feedOf("public")!.claims;
async function mint(payload: JsonObject, validity = 3_600, by = instance): Promise<string> {
  const request = { appId: "public", kind: "static", algorithm: "ES256", issuer: "a" } as const;
  const issued = await by.issueToken({ ...request, payload, validity });
  if (issued.status !== "issued") throw new Error(issued.status);
  return issued.jwt;
}
const iatOf = (jwt: string) => partsOf(jwt).claims["iat"] as number;

describe("revoking a token", () => {
  const revoke = (which: Parameters<Instance["revoke"]["token"]>[1]) => instance.revoke.token("public", which);

  it("R17 lists a jti until the latest exp given for it, and returns that exp", async () => {
    const [short, long] = [await mint({ jti: "job-1" }, 60), await mint({ jti: "job-1" }, YEAR)];
    const second = NEW_YEAR / 1000;
    const expectListed = async (which: Parameters<typeof revoke>[0], expiresAt: number) => {
      expect(await revoke(which)).toEqual({ ok: true, value: { jti: "job-1", expiresAt } });
      expect(feed().tokens).toEqual([["job-1", expiresAt]]);
    };
    await expectListed({ token: short }, second + 60);
    await expectListed({ token: long }, second + YEAR);
    await expectListed({ token: short }, second + YEAR); // the stored exp, not the requested one
    instance.clock.advance(400_000);
    await instance.state.refresh();
    expect(feed().tokens).toEqual([["job-1", second + YEAR]]);
    await expectListed({ jti: "job-1", expiresAt: undefined }, LIMITS.numericDate);
  });

  it("recognizes a token of a key that another instance has just created", async () => {
    const other = await openInstance({ dataDir: instance.dataDir, clock: instance.clock });
    const { kid } = instance.state.signer("public", "static", "ES256")!;
    await instance.manageKeys.revoke("public", kid);
    const token = await mint({ jti: "fresh" });
    expect(await other.revoke.token("public", { token })).toMatchObject({ ok: true, value: { jti: "fresh" } });
  });

  it.each(["", "x".repeat(65), "a\0b", "tab\there", "schön", "\u{1f511}", "line\n"])(
    "rejects a jti that the feed cannot list: %j",
    async (jti) => {
      const problem = expect.stringContaining("1 to 64 printable ASCII");
      expect(await revoke({ jti, expiresAt: undefined })).toEqual({ ok: false, status: 400, problem });
    },
  );

  it("R17 is limited to 10,000 jtis (409); a listed one is still accepted, and so is a service or a key", async () => {
    const expiresAt = NEW_YEAR / 1000 + YEAR;
    const uuid = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, "0")}`;
    await instance.store.write(async (writer) => {
      for (let i = 0; i < 9_999; i++)
        await writer.revocations.upsertToken({ appId: "public", jti: uuid(i), expiresAt });
    });
    expect(await revoke({ jti: uuid(9_999), expiresAt })).toMatchObject({ ok: true });
    expect(await revoke({ jti: uuid(10_000), expiresAt })).toEqual({
      ok: false,
      status: 409,
      problem: expect.stringContaining("revoke the service or the key instead"),
    });
    expect(feed().tokens).toHaveLength(10_000);
    expect(await revoke({ jti: uuid(5), expiresAt: expiresAt + 1 })).toMatchObject({
      value: { expiresAt: expiresAt + 1 },
    });
    expect(await instance.revoke.service("public", "orders")).toMatchObject({ ok: true });
    const { kid } = instance.state.signer("public", "static", "ES256")!;
    expect(await instance.manageKeys.revoke("public", kid)).toMatchObject({ ok: true });
    expect((await instance.publishFeed("public"))!.body.length).toBeLessThanOrEqual(LIMITS.feedBytes);
    // Expired entries make room again.
    instance.clock.advance((YEAR + LIMITS.clockTolerance + 2) * 1_000);
    await instance.state.refresh();
    expect(await revoke({ jti: "new", expiresAt: undefined })).toMatchObject({ ok: true });
    expect(feed().tokens).toEqual([["new", LIMITS.numericDate]]);
  }, 60_000);
});

describe("revoking a service's own tokens", () => {
  const expiresAt = NEW_YEAR / 1000 + 600;
  const list = (service: string | undefined, count: number, until = expiresAt) =>
    instance.store.write(async (writer) => {
      for (let i = 0; i < count; i++) {
        const by = service === undefined ? {} : { service };
        await writer.revocations.upsertToken({ appId: "public", jti: `${service}-${i}`, expiresAt: until, ...by });
      }
    });
  const own = async (service: string, token?: string) =>
    instance.revoke.ownToken("public", service, token ?? (await mint({ sub: service })));
  const roomAt = (seconds: number) => seconds + LIMITS.clockTolerance + 1;

  it("R17 is limited to 1,000 of one service, with room left for other services and administrators", async () => {
    await list("orders", 998);
    const first = { appId: "public", jti: "first", expiresAt: expiresAt - 100, service: "orders" };
    await instance.store.write((writer) => writer.revocations.upsertToken(first));
    const token = await mint({ sub: "orders" });
    expect(await own("orders", token)).toMatchObject({ ok: true });
    const refused = await own("orders");
    expect(refused).toEqual({ ok: false, status: 409, problem: expect.any(String), roomAt: roomAt(first.expiresAt) });
    expect(await own("orders", token)).toMatchObject({ ok: true }); // already listed
    expect(await own("billing")).toMatchObject({ ok: true });
    expect(await instance.revoke.token("public", { token: await mint({}) })).toMatchObject({ ok: true });
    // At the time in roomAt, there is room again.
    instance.clock.advance((roomAt(first.expiresAt) - NEW_YEAR / 1000) * 1_000);
    await instance.state.refresh();
    expect(await own("orders")).toMatchObject({ ok: true });
    expect(await own("orders")).toMatchObject({ ok: false });
  }, 60_000);

  it("R17 is limited to 8,000 of all services together: the rest is for administrators", async () => {
    for (let i = 0; i < 8; i++) await list(`m-${i}`, 1_000, expiresAt + i);
    expect(await own("billing")).toMatchObject({ ok: false, status: 409, roomAt: roomAt(expiresAt) });
    await list(undefined, 1_999);
    expect(await instance.revoke.token("public", { token: await mint({}) })).toMatchObject({ ok: true });
    expect(await instance.revoke.token("public", { token: await mint({}) })).toMatchObject({ ok: false, status: 409 });
  }, 60_000);

  it("R17 takes few transactions, for any number of concurrent requests", async () => {
    let writes = 0;
    const counting = await openInstance({
      ...{ dataDir: instance.dataDir, clock: instance.clock },
      storeOf: (real) => ({
        ...real,
        write: (work) => {
          writes++;
          return real.write(work);
        },
      }),
    });
    const tokens = await Promise.all(Array.from({ length: 300 }, () => mint({ sub: "orders" })));
    const revoked = await Promise.all(tokens.map((token) => counting.revoke.ownToken("public", "orders", token)));
    expect(revoked.every(({ ok }) => ok)).toBe(true);
    expect(writes).toBeLessThanOrEqual(4);
    await instance.state.refresh();
    expect(feed().tokens).toHaveLength(300);
  });
});

it("R17 reports a stored revocation as done, even if the store fails at that moment", async () => {
  let away = false;
  const unlucky = await openInstance({
    ...{ dataDir: instance.dataDir, clock: instance.clock },
    storeOf: (real) => ({
      ...real,
      readState: () => (away ? Promise.reject(new StoreUnavailable("away")) : real.readState()),
      write: async (work) => {
        const result = await real.write(work);
        away = true;
        return result;
      },
    }),
  });
  expect(await unlucky.revoke.token("public", { jti: "one", expiresAt: undefined })).toMatchObject({ ok: true });
  away = false;
  expect(await unlucky.revoke.service("public", "orders")).toMatchObject({ ok: true });
  await instance.state.refresh();
  expect(feed()).toMatchObject({ tokens: [["one", LIMITS.numericDate]], services: [["orders", expect.any(Number)]] });
});

describe("revoking a service", () => {
  it("R17 rejects tokens issued before, and accepts tokens requested after the response, even in the same second", async () => {
    for (const millisecond of [0, 100, 999]) {
      instance.clock.advance(10_000 + millisecond - (instance.clock.now() % 1_000));
      await instance.state.refresh();
      const before = await mint({ sub: "orders" });
      const revoked = await instance.revoke.service("public", "orders");
      if (!revoked.ok) throw new Error(revoked.problem);
      const after = await mint({ sub: "orders" });
      const { notBefore } = revoked.value;
      expect([iatOf(before) <= notBefore, iatOf(after) <= notBefore]).toEqual([true, false]);
      expect(feed().services).toEqual([["orders", notBefore]]);
    }
  });

  it("R17 covers every token issued before, even if reading the time took long", async () => {
    let delay = 0;
    const slow = await openInstance({
      dataDir: instance.dataDir,
      clock: instance.clock,
      storeOf: (real: Store) => ({
        ...real,
        readState: async () => {
          instance.clock.advance(delay);
          return real.readState();
        },
      }),
    });
    delay = 2_500;
    await slow.state.refresh();
    const before = await mint({ sub: "orders" }, 600, slow);
    instance.clock.advance(200);
    const revoked = await instance.revoke.service("public", "orders");
    expect(revoked).toMatchObject({ ok: true });
    expect(iatOf(before)).toBeLessThanOrEqual(revoked.ok ? revoked.value.notBefore : NaN);
    expect(slow.state.age()).toBeGreaterThanOrEqual(2_500);
  });

  it.each(["", "x".repeat(257), "a\0b"])("rejects an invalid service name: %j", async (name) => {
    expect(await instance.revoke.service("public", name)).toEqual({
      ok: false,
      status: 400,
      problem: "service: expected a name of 1 to 256 characters without NUL",
    });
  });

  it("R17 is limited to what verifiers can read (409), for any encoding of its names", async () => {
    const name = (i: number) => String(i).padStart(256, "\u0001"); // six bytes per character in JSON
    await instance.store.write(async (writer) => {
      for (let i = 0; i < 400; i++)
        await writer.revocations.upsertService({ appId: "public", service: name(i), notBefore: 1 });
    });
    let [listed, refused] = [400, ""];
    while (refused === "" && listed < 1_000) {
      const answer = await instance.revoke.service("public", name(listed));
      if (answer.ok) listed++;
      else refused = `${answer.status} ${answer.problem}`;
    }
    expect(refused).toMatch(/^409 .*revoke the key instead$/);
    const { length } = (await instance.publishFeed("public"))!.body;
    expect(length).toBeLessThanOrEqual(LIMITS.feedBytes - 60_000);
    expect(length).toBeGreaterThan(LIMITS.feedBytes - 70_000);
    expect(await instance.revoke.service("public", name(0))).toMatchObject({ ok: true }); // adds no entry
    const jtis = Array.from({ length: 50 }, (_, i) => String(i).padStart(64, "x"));
    const tokens = [];
    for (const jti of jtis) tokens.push(await instance.revoke.token("public", { jti, expiresAt: undefined }));
    expect(tokens.at(-1)).toMatchObject({ status: 409, problem: expect.stringMatching(/service or the key instead$/) });
  }, 60_000);
});
