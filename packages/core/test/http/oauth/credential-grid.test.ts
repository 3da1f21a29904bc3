// Every kind of credential at every OAuth endpoint, with every client authentication method, and every token that a client
// could send instead. http/cdi/credential-grid.test.ts covers the other endpoints.
import { UnsecuredJWT } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, API_KEY, partsOf, type Answer } from "../../support/core.ts";
import { KINDS, type Kind } from "../../support/credential-kinds.ts";
import { basic, type FormFields } from "../../support/oauth.ts";
import { ISSUER, OAuthClients, TOKEN, type Show, type Shown } from "../../support/oauth-clients.ts";

const clients = new OAuthClients();
beforeAll(() => clients.start());

/** @param expected the statuses of the three endpoints */
async function expectAnswers(show: Show, expected: string, app = ""): Promise<void> {
  const got = await clients.ask(app + TOKEN, show, {});
  if (got.status === 200) expect(partsOf(got.json["access_token"] as string).claims["sub"]).toBe("orders");
  const token = await clients.core.accessToken();
  const described = await clients.ask(`${app}/oauth/introspect`, show, { token });
  expect(described.text.includes('"active":true')).toBe(described.status === 200 && app === "");
  const done = await clients.ask(`${app}/oauth/revoke`, show, { token });
  const after = await clients.core.postForm("/oauth/introspect", { token }, { "api-key": API_KEY });
  expect(after.json["active"]).toBe(done.status !== 200);
  expect([got, described, done].map(outcomeOf).join(" ")).toBe(expected);
}

/** Returns the status, after checking that the error code belongs to it (RFC 6749). */
function outcomeOf(answer: Answer): string {
  const errors: Record<number, string> = { 400: "invalid_request", 401: "invalid_client" };
  if (answer.status !== 200) expect(answer.json["error"]).toBe(errors[answer.status]);
  return String(answer.status);
}

const ACCEPTED = "200 200 200";
const UNAUTHENTICATED = "401 401 401";
const INVALID = "400 400 400";
/** A key in a header is sufficient for introspection only. */
const INTROSPECTION_ONLY = "401 200 401";
/** At introspection, a key in a header is a second authentication method (RFC 6749 section 2.3). */
const TWO_METHODS = "200 400 200";

interface Way {
  readonly way: string;
  show(secret: string, name: string): Shown;
  /** Statuses of accepted kinds. */
  readonly open?: Partial<Record<Kind, string>>;
  /** Statuses of all other kinds. */
  readonly closed: string;
}

const KNOWN = { "a service": INTROSPECTION_ONLY, "an API key": INTROSPECTION_ONLY };
const good = () => basic("orders", clients.secretOf("a service"));
const WAYS: readonly Way[] = [
  {
    way: "Basic",
    show: (secret, name) => [{}, basic(name, secret)],
    open: { "a service": ACCEPTED },
    closed: UNAUTHENTICATED,
  },
  {
    way: "the body",
    open: { "a service": ACCEPTED },
    closed: UNAUTHENTICATED,
    show: (client_secret, client_id) => [{ client_id, client_secret }],
  },
  { way: "Basic, in another's name", show: (secret) => [{}, basic("billing", secret)], closed: UNAUTHENTICATED },
  {
    way: "the body, in another's name",
    closed: UNAUTHENTICATED,
    show: (client_secret) => [{ client_id: "billing", client_secret }],
  },
  { way: "Api-Key", show: (secret) => [{}, { "api-key": secret }], open: KNOWN, closed: UNAUTHENTICATED },
  {
    way: "Bearer",
    show: (secret) => [{}, { authorization: `Bearer ${secret}` }],
    open: KNOWN,
    closed: UNAUTHENTICATED,
  },
  {
    way: "Api-Key, next to a valid Basic header",
    closed: TWO_METHODS,
    show: (secret) => [{}, { "api-key": secret, ...good() }],
  },
  {
    way: "the body, next to a valid Basic header",
    closed: INVALID,
    show: (client_secret, client_id) => [{ client_id, client_secret }, good()],
  },
];
const NAMES: Partial<Record<Kind, string>> = {
  "a credential of a disabled service": "disabled",
  "a credential of a deleted service": "deleted",
};

describe.each(WAYS)("by $way", ({ show, open = {}, closed }) => {
  it.each(KINDS.filter((kind) => kind !== "none"))("S2 S3 S5 %s", async (kind) => {
    const shows = () => show(clients.secretOf(kind), NAMES[kind] ?? "orders");
    await expectAnswers(shows, open[kind] ?? closed);
  });
});

it("S5 without authentication", () => expectAnswers(() => [{}], UNAUTHENTICATED));

async function shownBefore(): Promise<string> {
  const used = await clients.assertion();
  expect((await clients.ask(TOKEN, () => [clients.by(used)], {})).status).toBe(200);
  return used;
}

type Assertion = [what: string, made: () => string | Promise<string>, answers: string, form?: FormFields];
const ASSERTIONS: readonly Assertion[] = [
  ["by its own key", () => clients.assertion(), ACCEPTED],
  ["by its own key, in its name", () => clients.assertion(), ACCEPTED, { client_id: "orders" }],
  ["by its own key, in another's name", () => clients.assertion(), UNAUTHENTICATED, { client_id: "billing" }],
  ["by its own key, about another", () => clients.assertion({ iss: "billing", sub: "billing" }), UNAUTHENTICATED],
  ["by another's key", () => clients.assertion({}, clients.keys.billing), UNAUTHENTICATED],
  ["by its key of another app", () => clients.assertion({}, clients.keys.shop), UNAUTHENTICATED],
  ["for another app", () => clients.assertion({ aud: `${ISSUER}/appid-shop` }), UNAUTHENTICATED],
  ["for an endpoint", () => clients.assertion({ aud: `${ISSUER}/oauth/token` }), UNAUTHENTICATED],
  ["shown before", shownBefore, UNAUTHENTICATED],
  ["that has expired", () => clients.assertion({ exp: clients.now() - 30 }), UNAUTHENTICATED],
  ["of a disabled service", () => clients.assertion({ iss: "disabled", sub: "disabled" }), UNAUTHENTICATED],
  ["of a deleted service", () => clients.assertion({ iss: "deleted", sub: "deleted" }), UNAUTHENTICATED],
  [
    "by no issuer",
    () => new UnsecuredJWT({ iss: "orders", sub: "orders", aud: ISSUER, exp: clients.now() + 60 }).encode(),
    UNAUTHENTICATED,
  ],
  ["by its platform", () => clients.platformToken(), ACCEPTED],
  ["by its platform, in its name", () => clients.platformToken(), ACCEPTED, { client_id: "orders" }],
  ["by its platform, in another's name", () => clients.platformToken(), UNAUTHENTICATED, { client_id: "billing" }],
  ["by its platform, about another", () => clients.platformToken({ sub: "pod:billing" }), UNAUTHENTICATED],
  ["by its platform, for another program", () => clients.platformToken({ aud: ISSUER }), UNAUTHENTICATED],
  ["by its platform, that has expired", () => clients.platformToken({ exp: clients.now() - 30 }), UNAUTHENTICATED],
  ["by another's platform", () => clients.platformToken({ iss: "https://other.test" }), UNAUTHENTICATED],
  ["by its own key, as its platform's", () => clients.platformToken({}, clients.keys.orders), UNAUTHENTICATED],
  ["by its platform, of a disabled service", () => clients.platformToken({ sub: "pod:disabled" }), UNAUTHENTICATED],
  ["by its platform, of a deleted service", () => clients.platformToken({ sub: "pod:deleted" }), UNAUTHENTICATED],
  ["that was issued to it here (T23)", () => clients.core.accessToken(), UNAUTHENTICATED],
  [
    "that was issued to an API key (T23)",
    () => clients.core.mint({ payload: { iss: "orders", sub: "orders", aud: ISSUER } }),
    UNAUTHENTICATED,
  ],
  ["that is a credential", () => clients.secretOf("a service"), UNAUTHENTICATED],
  ["that is an API key", () => API_KEY, UNAUTHENTICATED],
  ["that is an admin key", () => ADMIN_KEY, UNAUTHENTICATED],
  ["without its type", () => clients.assertion(), INVALID, { client_assertion_type: undefined }],
];

describe("by an assertion", () => {
  it.each(ASSERTIONS)("S4 %s", async (_, made, expected, form = {}) => {
    await expectAnswers(async () => [{ ...clients.by(await made()), ...form }], expected);
  });

  it("S4 next to a valid secret, with either method", async () => {
    await expectAnswers(async () => [clients.by(await clients.assertion()), good()], INVALID);
    const secret = { client_id: "orders", client_secret: clients.secretOf("a service") };
    await expectAnswers(async () => [{ ...clients.by(await clients.assertion()), ...secret }], INVALID);
  });
});

describe.each(["/appid-shop", "/appid-ghost", "/tenant"])("S2 H7 in the path %s", (app) => {
  it.each(clients.proofs())("no client authenticates with %s", (_, show) => expectAnswers(show, UNAUTHENTICATED, app));
  it("no client authenticates with an assertion for another issuer", () =>
    expectAnswers(async () => [clients.by(await clients.assertion({ aud: ISSUER + app }))], UNAUTHENTICATED, app));
});

it("S6 no credential, assertion or token is in the log, or in a response except the one that created it", () => {
  expect(clients.answers.length).toBeGreaterThan(3 * KINDS.length * WAYS.length);
  clients.expectNothingKept();
});
