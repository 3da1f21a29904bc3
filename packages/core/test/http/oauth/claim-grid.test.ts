// No form parameter and no claim of an assertion changes the claims of an access token, except for what the policy allows.
// http/cdi/credential-grid.test.ts covers the driver interface.
import type { JWTPayload } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { partsOf, type Answer } from "../../support/core.ts";
import { ISSUER, OAuthClients, TOKEN } from "../../support/oauth-clients.ts";

const clients = new OAuthClients();
beforeAll(() => clients.start());

/** Expects exactly the header and claims of a token of `orders` for `inventory`. */
function expectToken({ status, json }: Answer, granted: Record<string, unknown> = {}): void {
  expect([status, json["error"]]).toEqual([200, undefined]);
  expect(partsOf(json["access_token"] as string)).toEqual({
    header: { alg: "ES256", typ: "at+jwt", kid: expect.stringMatching(/^d-/) },
    claims: {
      iss: ISSUER,
      sub: "orders",
      client_id: "orders",
      source: "microservice",
      aud: "inventory",
      scope: "stock:read stock:reserve",
      iat: clients.now(),
      exp: clients.now() + 600,
      jti: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/),
      ...granted,
    },
  });
}

type Claim = readonly [name: string, value: string | number | object];

/** Claims that an attacker could want to set. */
const CLAIMS: readonly Claim[] = [
  ["source", "user"],
  ["service", "billing"],
  ["client_id", "billing"],
  ["scope", "invoice:write"],
  ["scp", ["invoice:write"]],
  ["roles", ["admin"]],
  ["groups", ["admin"]],
  ["entitlements", ["admin"]],
  ["permissions", ["admin"]],
  ["azp", "billing"],
  ["act", { sub: "billing" }],
  ["may_act", { sub: "orders" }],
  ["cnf", { jkt: "x" }],
  ["region", "eu"],
  ["payload", { sub: "billing" }],
  ["jti", "chosen-by-the-caller"],
  ["nbf", 5],
  ["iat", 5],
];
/** Claims that an assertion needs for authentication; as form parameters, they have no effect. */
const OF_ASSERTIONS: readonly Claim[] = [
  ["sub", "billing"],
  ["iss", "https://b.test"],
  ["aud", "billing"],
  ["exp", 4_102_444_800],
];
/** Fields of `POST /recipe/jwt`, and header parameters of a token. */
const OF_OTHERS: readonly Claim[] = [
  ["validity", 86_400],
  ["expires_in", 86_400],
  ["algorithm", "RS256"],
  ["useStaticSigningKey", "true"],
  ["jwksDomain", "https://b.test"],
  ["typ", "JWT"],
  ["alg", "none"],
  ["kid", "s-1"],
  ["__proto__", "x"],
];
/** Parameters of the endpoint, with the expected result. */
const KNOWN_PARAMETERS: readonly [name: string, value: string, answer: string | Record<string, unknown>][] = [
  ["scope", "stock:read", { scope: "stock:read" }],
  ["scope", "", {}],
  ["scope", "invoice:write", "400 invalid_scope"],
  ["scope", "stock:read invoice:write", "400 invalid_scope"],
  ["audience", "billing", { aud: "billing", scope: "invoice:write" }],
  ["audience", "idle", "400 invalid_target"],
  ["audience", "orders", "400 invalid_target"],
  ["audience", "*", "400 invalid_target"],
  ["resource", "inventory", {}],
  ["resource", "billing", "400 invalid_target"],
  ["client_id", "orders", {}],
  ["client_id", "billing", "401 invalid_client"],
  ["client_id", "ghost", "401 invalid_client"],
  ["grant_type", "password", "400 unsupported_grant_type"],
];

describe.each(clients.proofs())("the claims of POST /oauth/token, with %s", (_, show) => {
  const parameters = [...CLAIMS, ...OF_ASSERTIONS, ...OF_OTHERS].filter(
    ([name]) => !KNOWN_PARAMETERS.some(([known]) => known === name),
  );
  it.each(parameters)("C10 S3 the parameter %s sets nothing", async (name, value) => {
    const text = typeof value === "string" ? value : JSON.stringify(value);
    expectToken(await clients.ask(TOKEN, show, Object.fromEntries([[name, text]])));
  });

  it.each(KNOWN_PARAMETERS)("C10 S3 the parameter %s=%s follows the policy", async (name, value, expected) => {
    const answer = await clients.ask(TOKEN, show, { [name]: value });
    if (typeof expected === "string") expect(`${answer.status} ${answer.json["error"] as string}`).toBe(expected);
    else expectToken(answer, expected);
  });
});

describe.each([
  ["its own key", (claims: JWTPayload) => clients.assertion(claims)],
  ["its platform", (claims: JWTPayload) => clients.platformToken(claims)],
])("the claims of an assertion by %s", (_, made) => {
  it.each(CLAIMS)("C10 S3 %s is not in the token", async (claim, value) => {
    expectToken(await clients.ask(TOKEN, async () => [clients.by(await made({ [claim]: value }))], {}));
  });
});

it("S6 the log contains no assertion and no token, and responses contain no other secret than their own token", () => {
  clients.expectNothingKept();
});
