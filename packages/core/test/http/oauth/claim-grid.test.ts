// The grid of claims, with what only OAuth has: whatever a client writes into a form or into an assertion, its token says
// what the core says of it.
import type { JWTPayload } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { partsOf, type Answer } from "../../support/core.ts";
import { ISSUER, OAuthClients, TOKEN } from "../../support/oauth-clients.ts";

const clients = new OAuthClients();
beforeAll(() => clients.start());

/** A token of `orders` for `inventory`, whatever else is said: all of it, and all of its header. */
function expectToken({ status, json }: Answer, granted: Record<string, unknown> = {}): void {
  expect([status, json["error"]]).toEqual([200, undefined]);
  expect(partsOf(json["access_token"] as string)).toEqual({
    header: { alg: "ES256", typ: "at+jwt", kid: expect.stringMatching(/^d-/) },
    claims: {
      ...{ iss: ISSUER, sub: "orders", client_id: "orders", source: "microservice", aud: "inventory" },
      ...{ scope: "stock:read stock:reserve", iat: clients.now(), exp: clients.now() + 600 },
      ...{ jti: expect.stringMatching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/), ...granted },
    },
  });
}

type Claim = readonly [name: string, value: string | number | object];

/** What a client would like to set. */
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
/** What an assertion says of the client itself, and its end; as a parameter, they are as good as any other. */
const OF_ASSERTIONS: readonly Claim[] = [
  ["sub", "billing"],
  ["iss", "https://b.test"],
  ["aud", "billing"],
  ["exp", 4_102_444_800],
];
/** What `POST /recipe/jwt` knows, and what is in a token's header. */
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
/** What the endpoint knows by these names is the policy's to allow. */
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

  it.each(KNOWN_PARAMETERS)("C10 S3 the parameter %s=%s is judged", async (name, value, expected) => {
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

it("S6 no assertion and no token is in any line of the log, nor in an answer that is not its own", () => {
  clients.expectNothingKept();
});
