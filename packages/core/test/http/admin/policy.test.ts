// Policies in the admin API, over real sockets.
import { beforeAll, describe, expect, it, vi } from "vitest";
import { ADMIN_KEY, API_KEY, startTestCore, type Answer, type TestCore } from "../../support/core.ts";
import { registerServicesIn } from "../../support/services.ts";

const POLICY = "services:\n  orders:\n    calls:\n      inventory: [stock:read]\n  inventory: {}\n";
const NAMES = ["orders", "inventory", "billing"];

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore();
  await registerServicesIn(core.dataDir, NAMES);
});

function admin(path: string, body?: unknown, method = body === undefined ? "GET" : "POST", on = core): Promise<Answer> {
  const headers = { authorization: `Bearer ${ADMIN_KEY}` };
  return on.call(`/admin/v1/apps/public/policy${path}`, { method, apiKey: null, headers, body });
}
const put = (body: object, on = core) => admin("", body, "PUT", on);
/** Creates an app for one test, with the same services. */
async function inApp(appId: string) {
  await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId } });
  await registerServicesIn(core.dataDir, NAMES, appId);
  return (path: string, body?: unknown, method = body === undefined ? "GET" : "POST") =>
    core.call(`/admin/v1/apps/${appId}/policy${path}`, { method, apiKey: ADMIN_KEY, body });
}

it("a policy is compared, applied, shown, listed and queried", async () => {
  const call = await inApp("story");
  expect((await call("")).json).toEqual({ policy: null });
  const compared = await call("/diff", { text: POLICY });
  expect(compared.json).toEqual({
    diff: {
      version: 0,
      changes: [
        { change: "added", kind: "service", service: "orders" },
        { change: "added", kind: "call", caller: "orders", callee: "inventory" },
        { change: "added", kind: "scope", caller: "orders", callee: "inventory", scope: "stock:read" },
        { change: "added", kind: "service", service: "inventory" },
      ],
    },
  });
  const applied = await call("", { text: POLICY, expectedVersion: 0, by: "Zoë, on call" }, "PUT");
  const appliedBy = expect.stringMatching(/^admin key [0-9a-f]{6}: Zoë, on call$/) as string;
  expect([applied.status, applied.json["applied"]]).toMatchObject([200, { version: 1, appliedBy }]);
  const json = JSON.stringify({ services: { orders: {}, inventory: {}, billing: {} } });
  await call("", { text: json }, "PUT");
  const { policy } = (await call("")).json as { policy: object };
  expect(policy).toMatchObject({ version: 2, document: JSON.parse(json) });
  const { versions } = (await call("/versions")).json as { versions: Record<string, unknown>[] };
  expect(versions).toEqual([
    { version: 2, appliedAt: expect.any(String), appliedBy: expect.stringMatching(/^admin key [0-9a-f]{6}$/) },
    { version: 1, appliedAt: expect.any(String), appliedBy },
  ]);
  expect((await call("/versions/1")).json).toMatchObject({
    policy: { version: 1, document: { services: { inventory: {} } } },
  });
  expect((await call("/test", { caller: "orders", callee: "inventory", scope: "stock:read" })).json).toEqual({
    test: {
      allowed: false,
      reported: false,
      why: expect.stringMatching(/^services\.orders\.calls\.inventory does not exist/),
    },
  });
  expect((await call("/report")).json).toEqual({ calls: [] });
});

it("S6 the history names the admin key by the prefix of a digest, never by the key itself", async () => {
  const call = await inApp("label");
  await call("", { text: POLICY }, "PUT");
  const { text } = await call("/versions");
  expect(text).not.toContain(ADMIN_KEY.slice(0, 6));
  expect(text).toContain("admin key ");
});

describe("an error", () => {
  it("has its line and column, and the previous policy stays current", async () => {
    const call = await inApp("mistakes");
    await call("", { text: POLICY }, "PUT");
    const wrong = POLICY.replace("inventory: {}", "ghost: {}");
    for (const [path, method] of [
      ["", "PUT"],
      ["/diff", "POST"],
    ] as const) {
      const { status, json } = await call(path, { text: wrong }, method);
      expect([status, json]).toEqual([
        400,
        {
          error: {
            code: "invalid",
            message: 'line 4, column 7: "inventory" is not declared in services, and 1 more',
            mistakes: [
              { line: 4, column: 7, message: '"inventory" is not declared in services' },
              { line: 5, column: 3, message: 'service "ghost" is not registered in this app' },
            ],
          },
        },
      ]);
    }
    expect((await call("")).json).toMatchObject({ policy: { version: 1 } });
  });

  it.each([
    [{}, /^text: /],
    [{ text: 7 }, /^text: /],
    [{ text: POLICY, expectedVersion: -1 }, /^expectedVersion: /],
    [{ text: POLICY, expectedVersion: 1.5 }, /^expectedVersion: /],
    [{ text: POLICY, by: "" }, /^by: expected 1 to 128/],
    [{ text: POLICY, by: "x".repeat(129) }, /^by: /],
    [{ text: POLICY, by: "two\nlines" }, /^by: /],
    [{ text: POLICY, by: "\u202eanna" }, /^by: /],
    [{ text: POLICY, force: true }, /^body: an unknown field$/],
    ["nonsense", /Json/],
  ])("in a query: %j", async (body, words) => {
    const { status, json } = await admin("", body, "PUT");
    expect([status, json]).toEqual([400, { error: { code: "invalid", message: expect.stringMatching(words) } }]);
  });

  it("in a version or a name", async () => {
    for (const version of ["0", "9", "-1", "1.0", "1e0", "01", "x", "9".repeat(30), "%00"]) {
      expect([version, (await admin(`/versions/${version}`)).status]).toEqual([version, 404]);
    }
    for (const names of [
      { caller: "Orders", callee: "a" },
      { caller: "a", callee: "" },
      { caller: "a", callee: "b", scope: "c d" },
    ]) {
      expect((await admin("/test", names)).status).toBe(400);
    }
    expect((await admin("/test", { caller: "a" })).status).toBe(400);
  });
});

it("a service that the current policy references cannot be deleted, and the error explains what to do", async () => {
  const call = await inApp("named");
  const remove = () =>
    core.call("/admin/v1/apps/named/services/orders/delete", { method: "POST", apiKey: ADMIN_KEY, body: {} });
  await call("", { text: POLICY }, "PUT");
  const refused = await remove();
  const message =
    "the current policy (version 1) references this service; apply a policy without it, then delete it, " +
    "or disable it to block it now";
  expect([refused.status, refused.json]).toEqual([409, { error: { code: "conflict", message } }]);
  await call("", { text: "services: { inventory: {} }" }, "PUT");
  expect((await remove()).json).toEqual({ service: { name: "orders" } });
});

it("applying over a version that was not compared with is a conflict", async () => {
  const call = await inApp("conflict");
  const text = (scope: string) => POLICY.replace("stock:read", scope);
  await call("", { text: text("a"), expectedVersion: 0 }, "PUT");
  const { status, json } = await call("", { text: text("b"), expectedVersion: 0 }, "PUT");
  expect([status, json]).toMatchObject([
    409,
    { error: { code: "conflict", message: expect.stringMatching(/^the current version is 1,/) } },
  ]);
  const raced = await Promise.all(
    Array.from({ length: 5 }, (_, i) => call("", { text: text(`s${i}`), expectedVersion: 1 }, "PUT")),
  );
  expect(raced.map((answer) => answer.status).sort((a, b) => a - b)).toEqual([200, 409, 409, 409, 409]);
});

it("S3 requires an admin key and an existing app", async () => {
  for (const [path, method] of [
    ["", "GET"],
    ["", "PUT"],
    ["/diff", "POST"],
    ["/versions", "GET"],
    ["/test", "POST"],
    ["/report", "GET"],
  ] as const) {
    for (const apiKey of [null, API_KEY, "wrong"]) {
      const body = method === "GET" ? undefined : { text: POLICY };
      expect((await core.call(`/admin/v1/apps/public/policy${path}`, { method, apiKey, body })).status).toBe(401);
    }
  }
  expect((await core.call("/admin/v1/apps/ghost/policy", { apiKey: ADMIN_KEY })).status).toBe(404);
  expect((await admin("/nothing")).status).toBe(404);
});

it("H1 accepts 256 KiB of text with any JSON escapes, and no more; other admin routes accept less", async () => {
  const lines = (bytes: number) => `${"#\n".repeat((bytes - 14) / 2)}services: {}\n\n`;
  expect((await admin("/diff", { text: lines(262_144) })).status).toBe(200);
  expect((await admin("/diff", { text: lines(262_146) })).json).toMatchObject({
    error: { mistakes: [{ line: 1, column: 1, message: "larger than 262144 bytes" }] },
  });
  const large = await admin("/diff", { text: "#".repeat(600_000) });
  expect([large.status, large.json]).toMatchObject([413, { error: { code: "too_large" } }]);
  const elsewhere = await core.call("/admin/v1/apps/public/revocations/services", {
    method: "POST",
    apiKey: ADMIN_KEY,
    body: { service: "x".repeat(70_000) },
  });
  expect([elsewhere.status, elsewhere.json]).toMatchObject([
    413,
    { error: { message: expect.stringContaining("65536") } },
  ]);
  const chunked = await fetch(`${core.url}/admin/v1/apps/public/policy/diff`, {
    method: "POST",
    duplex: "half",
    headers: { "api-key": ADMIN_KEY },
    body: new Blob(["x".repeat(600_000)]).stream(),
  } as RequestInit);
  expect(chunked.status).toBe(413);
});

it("a change is current on every instance within 6 s, without a restart", async () => {
  const other = await startTestCore({ dataDir: core.dataDir });
  const versionAt = async (on: TestCore) =>
    ((await admin("", undefined, "GET", on)).json["policy"] as { version: number } | null)?.version ?? 0;
  for (const [from, to] of [
    [core, other],
    [other, core],
  ] as const) {
    const before = await versionAt(from);
    await put({ text: before % 2 === 0 ? POLICY : "services: {}" }, from);
    const began = performance.now();
    await vi.waitFor(async () => expect(await versionAt(to)).toBe(before + 1), { timeout: 6_000, interval: 20 });
    expect(performance.now() - began).toBeLessThan(6_000);
  }
});
