// A request's Authorization fields, as a service without a framework passes them on.
import type { IncomingMessage, ServerResponse } from "node:http";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { challengeFor } from "../../../src/protocol/challenge.ts";
import { openPrimedRoute, type ProtectedRoute } from "../../support/protected-route.ts";
import { listen, sendRaw, type TestServer } from "../../support/http.ts";
import { edKey, tokenBy } from "../../support/keys.ts";

const key = edKey();
const good = tokenBy(key);
let route: ProtectedRoute;
/** Responds with the caller's name, or with status and challenge. */
let service: TestServer;
beforeAll(async () => {
  route = await openPrimedRoute(key);
  service = await listen((req, res) => void decide(req, res));
});

async function decide(req: IncomingMessage, res: ServerResponse): Promise<void> {
  const decision = await route.verifier.verifyAuthorization(req.headersDistinct["authorization"]);
  if (decision.allowed) return void res.end(decision.caller.service);
  res.writeHead(decision.status, { "www-authenticate": challengeFor(decision.reason) ?? "" }).end();
}

/** A request with exactly these fields. */
const ask = (...fields: string[]) => sendRaw(service.port, ["POST /stock HTTP/1.1", "Host: a", ...fields]);
const NO_TOKEN = [401, 'Bearer realm="microservices"'];
const BAD_REQUEST = [400, 'Bearer realm="microservices", error="invalid_request"'];
async function answerTo(...fields: string[]) {
  const { status, headers } = await ask(...fields);
  return [status, headers.get("www-authenticate")];
}

test("a valid token is accepted with any case of the scheme and the field name", async () => {
  for (const field of [
    `Authorization: Bearer ${good}`,
    `AUTHORIZATION: bEARER ${good}`,
    `authorization:  Bearer ${good} `,
  ]) {
    expect(await ask(field), field).toMatchObject({ status: 200, body: expect.stringContaining("orders") as string });
  }
});

test.each([
  [undefined, "token_missing", 401],
  [[], "token_missing", 401],
  [["Basic dTpw"], "token_missing", 401],
  [["Bearer  x"], "authorization_malformed", 400],
  [["Bearer a, Bearer b"], "authorization_malformed", 400],
  [["Bearer a", "Bearer b"], "authorization_malformed", 400],
  [["Bearer x"], "token_malformed", 401],
])("H1 H2 %j is %s, and one event reports it", async (fields, reason, status) => {
  const before = route.events.length;
  expect(await route.verifier.verifyAuthorization(fields)).toEqual({ allowed: false, reason, status });
  expect(route.events.slice(before)).toEqual([{ type: "refused", reason }]);
});

describe("H1 two Authorization fields", () => {
  test.each([
    [`Authorization: Bearer ${good}`, `Authorization: Bearer ${good}`],
    [`Authorization: Bearer ${good}`, "Authorization: Bearer x"],
    ["authorization: Basic dTpw", `Authorization: Bearer ${good}`],
    [`Authorization: Bearer ${good}`, "Authorization:"],
    ["Authorization: ", "AUTHORIZATION: "],
    [`Authorization: Bearer ${good}`, "X-Other: 1", `Authorization: Bearer ${good}`],
  ])("H1 are rejected, whichever is valid: %#", async (...fields) =>
    expect(await answerTo(...fields)).toEqual(BAD_REQUEST),
  );
});

describe("H2 one space, one token, nothing else", () => {
  test.each([
    [`Bearer ${good}, Bearer ${good}`],
    [`Bearer ${good},Bearer x`],
    [`Bearer ${good},`],
    [`Bearer ${good} x`],
    [`Bearer\t${good}`],
    [`Bearer  ${good}`],
    [`Bearer "${good}"`],
    [`Bearer token=${good}`],
    [`Bearer: ${good}`],
    [`Bearer=${good}`],
    [`Bearer ${good}\xe9`],
    [`Bearer ${good};`],
    ["Bearer"],
  ])("H2 %s is malformed", async (field) => expect(await answerTo(`Authorization: ${field}`)).toEqual(BAD_REQUEST));

  test("H2 of all characters around a valid token, only one space and the case of the scheme are accepted", async () => {
    const around = fc.string({ unit: fc.constantFrom(..." \t,;=\"'.-_Bbearer\n\0\u00a0é".split("")), maxLength: 3 });
    const scheme = fc.constantFrom("Bearer", "bearer", "BEARER", "Bear", "Bearers", "Basic", "");
    await fc.assert(
      fc.asyncProperty(
        around,
        scheme,
        fc.oneof(fc.constant(" "), around),
        around,
        async (before, name, between, after) => {
          const field = `${before}${name}${between}${good}${after}`;
          const { allowed } = await route.verifier.verifyAuthorization([field]);
          expect(allowed, JSON.stringify(field)).toBe(/^bearer $/i.test(before + name + between) && after === "");
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

// RFC 6750 section 2 allows one place per request. With a header, a token in the query is rejected (see the framework
// suite). Cookies and other headers are ignored, and a guard runs before a form is read.
describe("H3 a token in another place", () => {
  const elsewhere: [string, string[]][] = [
    ["a cookie", [`Cookie: Authorization=${good}; access_token=${good}`]],
    ["Proxy-Authorization", [`Proxy-Authorization: Bearer ${good}`]],
    ["X-Authorization", [`X-Authorization: Bearer ${good}`, `X-Access-Token: ${good}`]],
    ["api-key", [`api-key: ${good}`]],
  ];
  test.each(elsewhere)("H3 in %s is ignored, alone or next to another", async (_where, fields) => {
    expect(await answerTo(...fields)).toEqual(NO_TOKEN);
    expect(await answerTo(...fields, "Authorization: Bearer x")).toEqual([
      401,
      `${NO_TOKEN[1]}, error="invalid_token"`,
    ]);
    expect((await ask(...fields, `Authorization: Bearer ${good}`)).status).toBe(200);
  });

  test("H3 in the query or a form is ignored", async () => {
    const body = new URLSearchParams({ access_token: good });
    const answer = await fetch(`${service.url}/stock?access_token=${good}`, { method: "POST", body });
    expect([answer.status, answer.headers.get("www-authenticate")]).toEqual(NO_TOKEN);
  });
});
