// Every kind of credential at every endpoint, and with every claim that it could try to set. An endpoint accepts only the
// kinds in its row. Add a row for a new endpoint, and an entry in MINTS if it issues tokens. The methods that only OAuth
// has are in http/oauth/credential-grid.test.ts.
import { beforeAll, describe, expect, it } from "vitest";
import { fakeClock } from "../../support/clock.ts";
import { partsOf, startTestCore, type Answer, type CallOptions, type TestCore } from "../../support/core.ts";
import { canaryOf, KINDS, makeCredentials, INVALID_KINDS, type Kind } from "../../support/credential-kinds.ts";
import { recordedLog } from "../../support/log.ts";
import { FORM, formOf, type FormFields } from "../../support/oauth.ts";

const clock = fakeClock();
const log = recordedLog();
let core: TestCore;
/** On the same store, without a public URL. */
let nameless: TestCore;

let presented: ReadonlyMap<Kind, string | null>;
const answers: Answer[] = [];

beforeAll(async () => {
  core = await startTestCore({ maxRingAge: 1e15, publicUrl: "https://a.test" }, { clock, log });
  presented = await makeCredentials(core, clock);
  nameless = await startTestCore({ dataDir: core.dataDir, maxRingAge: 1e15, host: "0.0.0.0" }, { clock, log });
});

type Sent = Pick<CallOptions, "body" | "headers">;

/** Sends a request after a minute, so that no address is throttled. */
async function call(kind: Kind, method: string, path: string, sent: Sent = {}, at = core): Promise<Answer> {
  clock.advance(60_000);
  const answer = await at.call(path, { method, apiKey: presented.get(kind)!, ...sent });
  answers.push(answer);
  return answer;
}

interface Row {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  /** The accepted kinds, with the status. `public`: accepts every request. */
  readonly open: Partial<Record<Kind, number>> | "public";
  /** The status of a public endpoint; default: 200. */
  readonly status?: number;
  /** The status of kinds that authenticate without access. All others get 401. */
  readonly forbidden?: Partial<Record<Kind, number>>;
  readonly body?: unknown;
  readonly form?: FormFields;
  /** The response to a service of another app; default: `Invalid API key`. */
  readonly unauthenticated?: string;
}

const sentTo = ({ body, form }: Row) => (form === undefined ? { body } : { body: formOf(form), headers: FORM });

const DRIVER = { "an API key": 200, "a service": 200 };
const APPS = { "an API key": 403, "a service": 403 };
const administration = (method: Row["method"], path: string, status: number): Row => ({
  method,
  path: `/admin/v1${path}`,
  open: { "an admin key": status },
  ...(method === "GET" ? {} : { body: {} }),
});
const NO_CLIENT = '{"error":"invalid_client","error_description":"client authentication is missing"}';
const WRONG_CLIENT = '{"error":"invalid_client","error_description":"client authentication failed"}';

const ROWS: readonly Row[] = [
  { method: "GET", path: "/hello", open: "public" },
  { method: "GET", path: "/", open: "public" },
  { method: "GET", path: "/.well-known/jwks.json", open: "public" },
  { method: "GET", path: "/.well-known/jwks-all.json", open: "public" },
  { method: "GET", path: "/.well-known/revocations", open: "public" },
  { method: "GET", path: "/.well-known/oauth-authorization-server", open: "public" },
  { method: "GET", path: "/.well-known/openid-configuration", open: "public" },

  // A key in a header is a way to authenticate at one of them only.
  {
    method: "POST",
    path: "/oauth/token",
    open: {},
    form: { grant_type: "client_credentials" },
    unauthenticated: NO_CLIENT,
  },
  { method: "POST", path: "/oauth/introspect", open: DRIVER, form: { token: "x" }, unauthenticated: WRONG_CLIENT },
  { method: "POST", path: "/oauth/revoke", open: {}, form: { token: "x" }, unauthenticated: NO_CLIENT },
  { method: "GET", path: "/oauth/token", open: "public", status: 405 },

  { method: "GET", path: "/apiversion", open: DRIVER },
  { method: "GET", path: "/recipe/jwt/jwks", open: DRIVER },
  {
    method: "POST",
    path: "/recipe/jwt",
    open: DRIVER,
    body: { payload: {}, algorithm: "RS256", jwksDomain: "https://c.test", validity: 60 },
  },
  { method: "PUT", path: "/recipe/multitenancy/app/v2", open: { "an admin key": 400 }, forbidden: APPS, body: {} },
  { method: "GET", path: "/recipe/multitenancy/app/list/v2", open: { "an admin key": 200 }, forbidden: APPS },
  { method: "POST", path: "/recipe/multitenancy/app/remove", open: { "an admin key": 400 }, forbidden: APPS, body: {} },
  {
    method: "DELETE",
    path: "/recipe/jwt",
    open: { ...DRIVER, "an API key": 405, "a service": 405, "an admin key": 405 },
  },
  { method: "GET", path: "/nothing", open: { "an API key": 404, "a service": 404, "an admin key": 404 } },

  administration("GET", "/status", 200),
  administration("GET", "/backup", 200),
  administration("GET", "/apps", 200),
  administration("PUT", "/apps/public/algorithms", 400),
  administration("GET", "/apps/public/keys", 200),
  administration("GET", "/apps/public/keys/public", 200),
  administration("POST", "/apps/ghost/keys/rotate", 404),
  administration("POST", "/apps/public/keys/import", 400),
  administration("POST", "/apps/public/keys/s-1/revoke", 404),
  administration("GET", "/apps/public/revocations", 200),
  administration("POST", "/apps/public/revocations/tokens", 400),
  administration("POST", "/apps/public/revocations/services", 400),
  administration("GET", "/apps/public/services", 200),
  administration("POST", "/apps/public/services", 400),
  administration("GET", "/apps/public/services/orders", 200),
  administration("POST", "/apps/public/services/ghost/disable", 404),
  administration("POST", "/apps/public/services/ghost/enable", 404),
  administration("POST", "/apps/public/services/ghost/delete", 404),
  administration("POST", "/apps/public/services/ghost/credentials", 404),
  administration("POST", "/apps/public/services/orders/credentials/0/revoke", 404),
  administration("GET", "/apps/public/services/orders/keys", 200),
  administration("PUT", "/apps/public/services/orders/keys", 400),
  administration("GET", "/apps/public/trusts", 200),
  administration("POST", "/apps/public/trusts", 400),
  administration("POST", "/apps/public/trusts/0/delete", 404),
  administration("GET", "/apps/public/policy", 200),
  administration("PUT", "/apps/public/policy", 400),
  administration("POST", "/apps/public/policy/diff", 400),
  administration("POST", "/apps/public/policy/test", 400),
  administration("GET", "/apps/public/policy/versions", 200),
  administration("GET", "/apps/public/policy/versions/7", 404),
  administration("GET", "/apps/public/policy/report", 200),
  administration("POST", "/reseal", 200),
  administration("GET", "/nothing", 404),
];

describe.each(ROWS)("$method $path", (row) => {
  const { method, path, open, status: toAll = 200, forbidden = {} } = row;
  it.each(KINDS)("S2 S3 %s", async (kind) => {
    const answer = await call(kind, method, path, sentTo(row));
    const expected = open === "public" ? toAll : (open[kind] ?? forbidden[kind] ?? 401);
    expect(answer.status).toBe(expected);
  });

  it("S1 S2 all invalid kinds get the same response", async () => {
    const seen = new Set<string>();
    for (const kind of INVALID_KINDS) {
      const { status, text, headers } = await call(kind, method, path, sentTo(row));
      const { date: _, ...others } = Object.fromEntries(headers);
      seen.add(JSON.stringify([status, text, others]));
    }
    expect([INVALID_KINDS.length, seen.size]).toEqual([7, 1]);
  });
});

describe("in the path of another app", () => {
  it.each([
    ["a service", "shop"],
    ["a service of another app", "public"],
    ["a service", "ghost"],
  ] as const)("S2 %s does not authenticate in %s", async (kind, app) => {
    for (const row of ROWS) {
      const { method, path, open, unauthenticated = "Invalid API key" } = row;
      if (open === "public" || path.startsWith("/admin/")) continue;
      const answer = await call(kind, method, `/appid-${app}${path}`, sentTo(row));
      expect([path, answer.status, answer.text]).toEqual([path, 401, unauthenticated]);
    }
  });

  it("a public endpoint is public in every app", async () => {
    for (const { method, path, open, status = 200 } of ROWS) {
      if (open !== "public") continue;
      for (const kind of ["none", "a service", "a service of another app"] as const) {
        const answer = await call(kind, method, `/appid-shop${path}`);
        expect([path, answer.status]).toEqual([path, status]);
      }
    }
  });

  it("S2 a service authenticates in its own app", async () => {
    const answer = await call("a service of another app", "GET", "/appid-shop/apiversion");
    expect(answer.status).toBe(200);
    const admin = await call("a service of another app", "GET", "/admin/v1/apps/shop/services");
    expect(admin.status).toBe(401);
  });
});

interface Mint {
  readonly what: string;
  /** The issuer of service tokens; `undefined`: none. */
  readonly issuer: string | undefined;
  /** Requests a token with this payload. */
  ask(kind: Kind, payload: object): Promise<Answer>;
  tokenIn(answer: Answer): string;
}

const minted = (payload: object) => ({ payload, algorithm: "RS256", jwksDomain: "https://c.test", validity: 60 });
const jwtIn = (answer: Answer) => answer.json["jwt"] as string;
const MINTS: readonly Mint[] = [
  {
    what: "POST /recipe/jwt",
    issuer: "https://a.test",
    tokenIn: jwtIn,
    ask: (kind, payload) => call(kind, "POST", "/recipe/jwt", { body: minted(payload) }),
  },
  {
    what: "POST /recipe/jwt of a core without a name",
    issuer: undefined,
    tokenIn: jwtIn,
    ask: (kind, payload) => call(kind, "POST", "/recipe/jwt", { body: minted(payload) }, nameless),
  },
];

/** Claims that a service cannot set, with a forged value, and the value that the core sets for `orders`, if any. */
const CLAIMS: readonly [claim: string, another: unknown, same?: unknown][] = [
  ["iss", "https://b.test", "https://a.test"],
  ["sub", "billing", "orders"],
  ["source", "user", "microservice"],
  ["service", "billing", "orders"],
  ["client_id", "billing", "orders"],
  ["aud", "billing"],
  ["aud", ["orders"]],
  ["scope", "stock:reserve"],
  ["scope", ""],
  ["jti", "chosen-by-the-caller"],
  ["azp", "orders"],
  ["act", { sub: "billing" }],
  ["may_act", { sub: "orders" }],
  ["acr", "urn:mace:incommon:iap:silver"],
  ["amr", ["hwk"]],
  ["auth_time", 1_767_225_600],
  ["authorization_details", [{ type: "payment" }]],
  ["scopes", ["stock:reserve"]],
  ["role", "admin"],
  ["cnf", { jkt: "x" }],
  ["scp", ["stock:reserve"]],
  ["roles", ["admin"]],
  ["groups", ["admin"]],
  ["entitlements", ["admin"]],
  ["permissions", ["admin"]],
];

describe.each(MINTS)("the claims of $what", ({ ask, issuer, tokenIn }) => {
  it("C10 iss is the core's issuer or absent for a service, and jwksDomain for an API key", async () => {
    expect(partsOf(tokenIn(await ask("a service", {}))).claims["iss"]).toBe(issuer);
    expect(partsOf(tokenIn(await ask("an API key", {}))).claims["iss"]).toBe("https://c.test");
  });

  it.each(CLAIMS)(
    "C10 S3 only the core sets %s for a service, an API key can set it: %j",
    async (claim, another, same) => {
      const refused = await ask("a service", { [claim]: another });
      expect([refused.status, refused.text]).toEqual([
        403,
        `payload: the core sets claim '${claim}' of a service token`,
      ]);
      const own = await ask("an API key", { [claim]: another });
      expect(partsOf(tokenIn(own)).claims[claim]).toEqual(another);
      if (same === undefined || (claim === "iss" && same !== issuer)) return;
      const repeated = await ask("a service", { [claim]: same });
      expect(partsOf(tokenIn(repeated)).claims).toMatchObject({ sub: "orders", source: "microservice", [claim]: same });
    },
  );

  it.each([
    ["sub", null],
    ["sub", ["orders"]],
    ["sub", "Orders"],
    ["sub", "orders "],
    ["source", ["microservice"]],
    ["iss", ["https://a.test"]],
    ["iss", "https://a.test/"],
    ["iss", "https://c.test"],
    ["jti", null],
    ["aud", null],
  ])("C10 %s as %j differs from the core's value", async (claim, value) => {
    expect((await ask("a service", { [claim]: value })).status).toBe(403);
  });

  it.each(["exp", "iat"])("C10 %s cannot be set", async (claim) => {
    for (const kind of ["a service", "an API key"] as const) {
      const answer = await ask(kind, { [claim]: 4_102_444_800 });
      expect([answer.status, answer.text]).toEqual([
        400,
        `payload: must not contain '${claim}'; set 'validity' instead`,
      ]);
    }
  });

  it("C10 claims without meaning for identity or permissions can be set", async () => {
    const payload = { nbf: 5, region: "eu", name: "billing", Sub: "billing", tenant: { id: 7 } };
    for (const kind of ["a service", "an API key"] as const) {
      expect(partsOf(tokenIn(await ask(kind, payload))).claims).toMatchObject(payload);
    }
    expect(partsOf(tokenIn(await ask("a service", payload))).claims["sub"]).toBe("orders");
  });
});

it("S6 no credential is in the log, or in a response except the one that created it", () => {
  const logged = log.lines.join("\n");
  const answered = answers.map(({ text, headers }) => text + JSON.stringify([...headers])).join("\n");
  expect(logged).toContain("signing key created"); // The log is not empty.
  expect(answers.length).toBeGreaterThan(KINDS.length * ROWS.length);
  for (const [kind, key] of presented) {
    if (key === null) continue;
    const canary = canaryOf(key);
    expect([kind, logged.includes(canary), answered.includes(canary)]).toEqual([kind, false, false]);
  }
});
