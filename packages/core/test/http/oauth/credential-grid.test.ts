// The grid's second half: what only OAuth takes. Every kind of credential in every way that a client may show it, and
// every token that may be shown in its place, at every endpoint.
import { UnsecuredJWT } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { ADMIN_KEY, API_KEY, partsOf, type Answer } from "../../support/core.ts";
import { KINDS, type Kind } from "../../support/credential-kinds.ts";
import { basic, type FormFields } from "../../support/oauth.ts";
import { ISSUER, OAuthClients, TOKEN, type Show, type Shown } from "../../support/oauth-clients.ts";

const clients = new OAuthClients();
beforeAll(() => clients.start());

/** @param expected what the three endpoints answer, one after another */
async function expectAnswers(show: Show, expected: string, app = ""): Promise<void> {
  const got = await clients.ask(app + TOKEN, show, {});
  if (got.status === 200) expect(partsOf(got.json["access_token"] as string).claims["sub"]).toBe("orders");
  const token = await clients.core.accessToken();
  const told = await clients.ask(`${app}/oauth/introspect`, show, { token });
  expect(told.text.includes('"active":true')).toBe(told.status === 200 && app === "");
  const done = await clients.ask(`${app}/oauth/revoke`, show, { token });
  const after = await clients.core.postForm("/oauth/introspect", { token }, { "api-key": API_KEY });
  expect(after.json["active"]).toBe(done.status !== 200);
  expect([got, told, done].map(outcomeOf).join(" ")).toBe(expected);
}

/** The status, which says by which error of RFC 6749 it is one. */
function outcomeOf(answer: Answer): string {
  const errors: Record<number, string> = { 400: "invalid_request", 401: "invalid_client" };
  if (answer.status !== 200) expect(answer.json["error"]).toBe(errors[answer.status]);
  return String(answer.status);
}

const OPEN = "200 200 200";
const CLOSED = "401 401 401";
const REFUSED = "400 400 400";
/** A key in a header is enough to be told of a token. */
const TOLD = "401 200 401";
/** Where a key in a header counts, it is a second way (RFC 6749 section 2.3). */
const UNTOLD = "200 400 200";

interface Way {
  readonly way: string;
  show(secret: string, name: string): Shown;
  /** Who is let in. */
  readonly open?: Partial<Record<Kind, string>>;
  /** What all others are answered. */
  readonly closed: string;
}

const KNOWN = { "a service": TOLD, "an API key": TOLD };
const good = () => basic("orders", clients.secretOf("a service"));
const WAYS: readonly Way[] = [
  { way: "Basic", show: (secret, name) => [{}, basic(name, secret)], open: { "a service": OPEN }, closed: CLOSED },
  {
    ...{ way: "the body", open: { "a service": OPEN }, closed: CLOSED },
    show: (client_secret, client_id) => [{ client_id, client_secret }],
  },
  { way: "Basic, in another's name", show: (secret) => [{}, basic("billing", secret)], closed: CLOSED },
  {
    ...{ way: "the body, in another's name", closed: CLOSED },
    show: (client_secret) => [{ client_id: "billing", client_secret }],
  },
  { way: "Api-Key", show: (secret) => [{}, { "api-key": secret }], open: KNOWN, closed: CLOSED },
  { way: "Bearer", show: (secret) => [{}, { authorization: `Bearer ${secret}` }], open: KNOWN, closed: CLOSED },
  {
    ...{ way: "Api-Key, beside a good Basic", closed: UNTOLD },
    show: (secret) => [{}, { "api-key": secret, ...good() }],
  },
  {
    ...{ way: "the body, beside a good Basic", closed: REFUSED },
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

it("S5 by nothing", () => expectAnswers(() => [{}], CLOSED));

async function shownBefore(): Promise<string> {
  const used = await clients.assertion();
  expect((await clients.ask(TOKEN, () => [clients.by(used)], {})).status).toBe(200);
  return used;
}

type Assertion = [what: string, made: () => string | Promise<string>, answers: string, form?: FormFields];
const ASSERTIONS: readonly Assertion[] = [
  ["by its own key", () => clients.assertion(), OPEN],
  ["by its own key, in its name", () => clients.assertion(), OPEN, { client_id: "orders" }],
  ["by its own key, in another's name", () => clients.assertion(), CLOSED, { client_id: "billing" }],
  ["by its own key, about another", () => clients.assertion({ iss: "billing", sub: "billing" }), CLOSED],
  ["by another's key", () => clients.assertion({}, clients.keys.billing), CLOSED],
  ["by its key of another app", () => clients.assertion({}, clients.keys.shop), CLOSED],
  ["for another app", () => clients.assertion({ aud: `${ISSUER}/appid-shop` }), CLOSED],
  ["for an endpoint", () => clients.assertion({ aud: `${ISSUER}/oauth/token` }), CLOSED],
  ["shown before", shownBefore, CLOSED],
  ["that has expired", () => clients.assertion({ exp: clients.now() - 30 }), CLOSED],
  ["of a disabled service", () => clients.assertion({ iss: "disabled", sub: "disabled" }), CLOSED],
  ["of a deleted service", () => clients.assertion({ iss: "deleted", sub: "deleted" }), CLOSED],
  [
    "by nobody",
    () => new UnsecuredJWT({ iss: "orders", sub: "orders", aud: ISSUER, exp: clients.now() + 60 }).encode(),
    CLOSED,
  ],
  ["by its platform", () => clients.platformToken(), OPEN],
  ["by its platform, in its name", () => clients.platformToken(), OPEN, { client_id: "orders" }],
  ["by its platform, in another's name", () => clients.platformToken(), CLOSED, { client_id: "billing" }],
  ["by its platform, about another", () => clients.platformToken({ sub: "pod:billing" }), CLOSED],
  ["by its platform, for another program", () => clients.platformToken({ aud: ISSUER }), CLOSED],
  ["by its platform, that has expired", () => clients.platformToken({ exp: clients.now() - 30 }), CLOSED],
  ["by another's platform", () => clients.platformToken({ iss: "https://other.test" }), CLOSED],
  ["by its own key, as its platform's", () => clients.platformToken({}, clients.keys.orders), CLOSED],
  ["by its platform, of a disabled service", () => clients.platformToken({ sub: "pod:disabled" }), CLOSED],
  ["by its platform, of a deleted service", () => clients.platformToken({ sub: "pod:deleted" }), CLOSED],
  ["that was issued to it here (T23)", () => clients.core.accessToken(), CLOSED],
  [
    "that was issued to an API key (T23)",
    () => clients.core.mint({ payload: { iss: "orders", sub: "orders", aud: ISSUER } }),
    CLOSED,
  ],
  ["that is a credential", () => clients.secretOf("a service"), CLOSED],
  ["that is an API key", () => API_KEY, CLOSED],
  ["that is an admin key", () => ADMIN_KEY, CLOSED],
  ["without its type", () => clients.assertion(), REFUSED, { client_assertion_type: undefined }],
];

describe("by an assertion", () => {
  it.each(ASSERTIONS)("S4 %s", async (_, made, expected, form = {}) => {
    await expectAnswers(async () => [{ ...clients.by(await made()), ...form }], expected);
  });

  it("S4 beside a good secret, in either way", async () => {
    await expectAnswers(async () => [clients.by(await clients.assertion()), good()], REFUSED);
    const secret = { client_id: "orders", client_secret: clients.secretOf("a service") };
    await expectAnswers(async () => [{ ...clients.by(await clients.assertion()), ...secret }], REFUSED);
  });
});

describe.each(["/appid-shop", "/appid-ghost", "/tenant"])("S2 H7 in the path %s", (app) => {
  it.each(clients.proofs())("nobody is known by %s", (_, show) => expectAnswers(show, CLOSED, app));
  it("nobody is known by what is good for another issuer", () =>
    expectAnswers(async () => [clients.by(await clients.assertion({ aud: ISSUER + app }))], CLOSED, app));
});

it("S6 no credential, no assertion and no token is in any line of the log, nor in an answer that is not its own", () => {
  expect(clients.answers.length).toBeGreaterThan(3 * KINDS.length * WAYS.length);
  clients.expectNothingKept();
});
