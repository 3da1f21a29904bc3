// `countersign explain` shows why a token is rejected.
import { expect, test } from "vitest";
import { runCommand } from "../../packages/core/test/support/cli.ts";
import { startCore } from "../support/in-process.ts";
import { temporaryDirectory } from "../support/processes.ts";

const explain = (...flags: string[]) => runCommand(["explain", ...flags]);

async function mint(url: string, payload: object): Promise<string> {
  const body = { payload, algorithm: "RS256", jwksDomain: "https://a.test", validity: 60 };
  const response = await fetch(`${url}/recipe/jwt`, { method: "POST", body: JSON.stringify(body) });
  return ((await response.json()) as { jwt: string }).jwt;
}

test("prints every check of a real token, and the verifier's decision", async () => {
  const core = await startCore(await temporaryDirectory());
  const jwks = ["--jwks", `${core.url}/.well-known/jwks.json`];
  const token = await mint(core.url, { sub: "orders", source: "microservice" });

  const good = await explain(token, ...jwks);
  expect([good.code, good.stderr]).toEqual([0, ""]);
  for (const name of ["form", "algorithm", "key", "signature", "exp", "iss", "aud", "required claims", "revocation"])
    expect(good.stdout).toMatch(new RegExp(`^${name} +✓ passed`, "m"));
  expect(good.stdout).toMatch(/^accepted {2}a verifier with these options accepts the token$/m);

  const refused = await explain(token, ...jwks, "--audience", "inventory", "--require", "source=user");
  expect(refused.code).toBe(1);
  expect(refused.stdout).toMatch(/^aud +✗ failed +\["inventory"\]/m);
  expect(refused.stdout).toMatch(/^required claims +✗ failed +\{"source":"user"\} +\{"source":"microservice"\}$/m);
  expect(refused.stdout).toMatch(/^rejected {2}audience_mismatch: meant for another audience$/m);

  const unproven = await explain(token);
  expect([unproven.code, unproven.stdout]).toEqual([1, expect.stringMatching(/^not verified .*--jwks URL/m)]);
  const asJson = await explain(token, ...jwks, "--json");
  expect(JSON.parse(asJson.stdout)).toMatchObject({ allowed: true, token: { claims: { sub: "orders" } } });
});

test("shows required and actual scopes and callers", async () => {
  const core = await startCore(await temporaryDirectory());
  const payload = { sub: "orders", source: "microservice", aud: "inventory", scope: "stock:read stock:list" };
  const token = await mint(core.url, payload);
  const ask = (...flags: string[]) =>
    explain(token, "--jwks", `${core.url}/.well-known/jwks.json`, "--audience", "inventory", ...flags);

  const callers = ["--allow", "billing", "--allow", "orders"];
  for (const scopes of [
    ["--scope", "stock:read", "--scope", "stock:list"],
    ["--scope", "stock:list stock:read"],
  ]) {
    const good = await ask(...scopes, ...callers);
    expect([good.code, good.stderr]).toEqual([0, ""]);
    expect(good.stdout).toMatch(/^scope +✓ passed +stock:(read stock:list|list stock:read) +stock:read stock:list$/m);
    expect(good.stdout).toMatch(/^allowed callers +✓ passed +\["billing","orders"\] +orders$/m);
  }

  const refused = await ask("--scope", "stock:read", "--scope", "stock:reserve", "--allow", "billing");
  expect(refused.code).toBe(1);
  expect(refused.stdout).toMatch(/^scope +✗ failed +stock:read stock:reserve +stock:read stock:list$/m);
  expect(refused.stdout).toMatch(/^allowed callers +✗ failed +\["billing"\] +orders$/m);
  expect(refused.stdout).toMatch(/^rejected {2}caller_not_allowed: /m);
  const asJson = JSON.parse((await ask("--scope", "stock:reserve", "--json")).stdout) as object;
  expect(asJson).toMatchObject({
    allowed: false,
    checks: expect.arrayContaining([expect.objectContaining({ name: "scope", reason: "insufficient_scope" })]),
  });

  const wrong = await ask("--scope", 'stock:"read"');
  expect([wrong.code, wrong.stderr]).toEqual([
    1,
    String.raw`countersign: scope: expected one or several names, got "stock:\"read\""` + "\n",
  ]);
  expect((await ask("--allow", "")).stderr).toBe('countersign: allow: expected one or several names, got ""\n');
});

test("S6 says what kind of value it got instead of a token, without the value", async () => {
  const token = `${base64url({ alg: "RS256", kid: "s-1" })}.${base64url({ exp: 1 })}.AAAA`;
  const credential = `cs_orders_${"r".repeat(43)}`;
  for (const [given, words] of [
    [
      `Bearer ${token}`,
      /^countersign: expected a token, got an Authorization header value; remove the "Bearer" prefix\n$/,
    ],
    [credential, /^countersign: expected a token, got a service credential \(cs_…\); credentials are secret\n$/],
  ] as const) {
    const { code, stdout, stderr } = await explain(given);
    expect([code, stdout, stderr]).toEqual([1, "", expect.stringMatching(words)]);
    expect(stderr).not.toContain(given.slice(10));
  }
});

test("a token with an audience is rejected without --audience, and the output says so", async () => {
  const core = await startCore(await temporaryDirectory());
  const token = await mint(core.url, { sub: "orders", source: "microservice", aud: "inventory" });
  const jwks = ["--jwks", `${core.url}/.well-known/jwks.json`];
  const hint = "pass --audience NAME with a name of the called service";
  const without = await explain(token, ...jwks);
  expect([without.code, without.stdout]).toEqual([1, expect.stringContaining(hint)]);
  for (const audience of ["inventory", "billing"]) {
    const { code, stdout } = await explain(token, ...jwks, "--audience", audience);
    expect([code, stdout.includes(hint)]).toEqual([audience === "inventory" ? 0 : 1, false]);
  }
});

test("prints an error in one line, without control characters from the token", async () => {
  const token = (claims: object) => `${base64url({ alg: "RS256", kid: "s-\u001b[31m" })}.${base64url(claims)}.AAAA`;
  const hostile = await explain(token({ sub: "\u001b[2Jorders", exp: 1 }), "--audience", "a");
  expect(hostile.stdout + hostile.stderr).not.toContain("\u001b");
  const wrong = await explain("a.b.c", "--jwks", "http://core.test/jwks.json");
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringMatching(/^countersign: jwksUri: expected https/)]);
  const away = await explain(
    token({ exp: 4102444800 }).replace(/^[^.]+/, base64url({ alg: "RS256", kid: "s-1" })),
    "--jwks",
    "http://127.0.0.1:9/jwks.json",
  );
  expect([away.code, away.stdout]).toEqual([1, expect.stringMatching(/^rejected {2}keys_unavailable/m)]);
});

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
