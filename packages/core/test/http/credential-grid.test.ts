// Every kind of credential at every endpoint, and with every claim that it might try to set. What is not said to be open
// is closed. A new endpoint is a new row, and one that makes tokens a new column of the second table.
import { beforeAll, describe, expect, it } from "vitest";
import { fakeClock } from "../support/clock.ts";
import { ADMIN_KEY, API_KEY, partsOf, startTestCore, type Answer, type TestCore } from "../support/core.ts";
import { recordedLog } from "../support/log.ts";
import { callServices, newCredential } from "../support/services.ts";

const MINUTE = 60_000;
const clock = fakeClock();
const log = recordedLog();
let core: TestCore;
/** On the same store: nobody has told it by which name others reach it. */
let nameless: TestCore;

const KINDS = [
  ...["none", "a wrong key", "an API key", "an admin key", "a service", "a service of another app"],
  ...["a wrong credential", "a revoked credential", "an expired credential", "a credential of a disabled service"],
  "a credential of a deleted service",
] as const;
type Kind = (typeof KINDS)[number];
/** As different as they are, nobody must be able to tell them apart. */
const NOBODY: readonly Kind[] = KINDS.filter(
  (kind) => kind.startsWith("a wrong") || / another | credential/.test(kind),
);

const presented = new Map<Kind, string | null>();
const answers: Answer[] = [];

beforeAll(async () => {
  core = await startTestCore({ maxRingAge: 1e15, publicUrl: "https://a.test" }, { clock, log });
  await core.call("/recipe/multitenancy/app/v2", { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "shop" } });
  const made = async (name: string, facts?: Parameters<typeof newCredential>[2]) =>
    (await newCredential(core, name, facts)).credential;
  presented.set("none", null).set("a wrong key", "wrong-key-wrong-key-wrong");
  presented.set("an API key", API_KEY).set("an admin key", ADMIN_KEY);
  presented.set("a service", await made("orders"));
  presented.set("a service of another app", await made("orders", { app: "shop" }));
  presented.set("a wrong credential", `cs_orders_${"A".repeat(43)}`);
  const revoked = await newCredential(core, "orders");
  await callServices(core, `/orders/credentials/${revoked.id}/revoke`, {});
  presented.set("a revoked credential", revoked.credential);
  presented.set("an expired credential", await made("orders", { expiresAt: clock.now() + MINUTE }));
  presented.set("a credential of a disabled service", await made("disabled"));
  await callServices(core, "/disabled/disable", {});
  presented.set("a credential of a deleted service", await made("deleted"));
  await callServices(core, "/deleted/delete", {});
  clock.advance(MINUTE);
  nameless = await startTestCore({ dataDir: core.dataDir, maxRingAge: 1e15, host: "0.0.0.0" }, { clock, log });
});

/** As if this address had not guessed before: how often it may is another test's. */
async function call(kind: Kind, method: string, path: string, body?: unknown, at = core): Promise<Answer> {
  clock.advance(MINUTE);
  const answer = await at.call(path, { method, apiKey: presented.get(kind)!, body });
  answers.push(answer);
  return answer;
}

interface Row {
  readonly method: "GET" | "POST" | "PUT" | "DELETE";
  readonly path: string;
  /** To whom it is open, and what it answers then. Everybody: as the public documents are. */
  readonly open: Partial<Record<Kind, number>> | "everybody";
  /** Who is known and not let in, and how that is said; who is neither gets a 401. */
  readonly forbidden?: Partial<Record<Kind, number>>;
  readonly body?: unknown;
}

const DRIVER = { "an API key": 200, "a service": 200 };
const APPS = { "an API key": 403, "a service": 403 };
const administration = (method: Row["method"], path: string, status: number): Row => ({
  ...{ method, path: `/admin/v1${path}`, open: { "an admin key": status } },
  ...(method === "GET" ? {} : { body: {} }),
});

const ROWS: readonly Row[] = [
  { method: "GET", path: "/hello", open: "everybody" },
  { method: "GET", path: "/", open: "everybody" },
  { method: "GET", path: "/.well-known/jwks.json", open: "everybody" },
  { method: "GET", path: "/.well-known/jwks-all.json", open: "everybody" },
  { method: "GET", path: "/.well-known/revocations", open: "everybody" },

  { method: "GET", path: "/apiversion", open: DRIVER },
  { method: "GET", path: "/recipe/jwt/jwks", open: DRIVER },
  {
    ...{ method: "POST", path: "/recipe/jwt", open: DRIVER },
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
  administration("POST", "/reseal", 200),
  administration("GET", "/nothing", 404),
];

describe.each(ROWS)("$method $path", ({ method, path, open, forbidden = {}, body }) => {
  it.each(KINDS)("S2 S3 %s", async (kind) => {
    const answer = await call(kind, method, path, body);
    const expected = open === "everybody" ? 200 : (open[kind] ?? forbidden[kind] ?? 401);
    expect(answer.status).toBe(expected);
  });

  it("S1 S2 tells nobody from nobody", async () => {
    const seen = new Set<string>();
    for (const kind of NOBODY) {
      const { status, text, headers } = await call(kind, method, path, body);
      const { date: _, ...others } = Object.fromEntries(headers);
      seen.add(JSON.stringify([status, text, others]));
    }
    expect([NOBODY.length, seen.size]).toEqual([7, 1]);
  });
});

describe("in the path of another app", () => {
  it.each([
    ["a service", "shop"],
    ["a service of another app", "public"],
    ["a service", "ghost"],
  ] as const)("S2 %s is nobody in %s", async (kind, app) => {
    for (const { method, path, open, body } of ROWS) {
      if (open === "everybody" || path.startsWith("/admin/")) continue;
      const answer = await call(kind, method, `/appid-${app}${path}`, body);
      expect([path, answer.status, answer.text]).toEqual([path, 401, "Invalid API key"]);
    }
  });

  it("S2 a service is somebody in its own", async () => {
    const answer = await call("a service of another app", "GET", "/appid-shop/apiversion");
    expect(answer.status).toBe(200);
    const admin = await call("a service of another app", "GET", "/admin/v1/apps/shop/services");
    expect(admin.status).toBe(401);
  });
});

interface Mint {
  readonly what: string;
  /** What the core calls itself there; undefined: nothing. */
  readonly issuer: string | undefined;
  /** Asks for a token with this in its payload. @returns the token, or why there is none */
  ask(kind: Kind, payload: object): Promise<Answer>;
  tokenIn(answer: Answer): string;
}

const minted = (payload: object) => ({ payload, algorithm: "RS256", jwksDomain: "https://c.test", validity: 60 });
const jwtIn = (answer: Answer) => answer.json["jwt"] as string;
const MINTS: readonly Mint[] = [
  {
    ...{ what: "POST /recipe/jwt", issuer: "https://a.test", tokenIn: jwtIn },
    ask: (kind, payload) => call(kind, "POST", "/recipe/jwt", minted(payload)),
  },
  {
    ...{ what: "POST /recipe/jwt of a core without a name", issuer: undefined, tokenIn: jwtIn },
    ask: (kind, payload) => call(kind, "POST", "/recipe/jwt", minted(payload), nameless),
  },
];

/** What a service may not set, what it would like to, and what the core says of `orders` where it says something. */
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
  it("C10 iss is the core's own name or none for a service, and what it says for an API key", async () => {
    expect(partsOf(tokenIn(await ask("a service", {}))).claims["iss"]).toBe(issuer);
    expect(partsOf(tokenIn(await ask("an API key", {}))).claims["iss"]).toBe("https://c.test");
  });

  it.each(CLAIMS)(
    "C10 S3 %s is the core's to set for a service, and an API key's own: %j",
    async (claim, another, same) => {
      const refused = await ask("a service", { [claim]: another });
      expect([refused.status, refused.text]).toEqual([
        403,
        `payload: claim '${claim}' of a service's token is the core's to set`,
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
  ])("C10 %s as %j is another value than the core's", async (claim, value) => {
    expect((await ask("a service", { [claim]: value })).status).toBe(403);
  });

  it.each(["exp", "iat"])("C10 %s is nobody's to set", async (claim) => {
    for (const kind of ["a service", "an API key"] as const) {
      const answer = await ask(kind, { [claim]: 4_102_444_800 });
      expect([answer.status, answer.text]).toEqual([
        400,
        `payload must not contain '${claim}': it follows from the field 'validity'`,
      ]);
    }
  });

  it("C10 what says nothing about who it is or what it may do is everybody's own", async () => {
    const payload = { nbf: 5, region: "eu", name: "billing", Sub: "billing", tenant: { id: 7 } };
    for (const kind of ["a service", "an API key"] as const) {
      expect(partsOf(tokenIn(await ask(kind, payload))).claims).toMatchObject(payload);
    }
    expect(partsOf(tokenIn(await ask("a service", payload))).claims["sub"]).toBe("orders");
  });
});

it("S6 no credential is in any line of the log or in any answer but the one that made it", () => {
  const logged = log.lines.join("\n");
  const answered = answers.map(({ text, headers }) => text + JSON.stringify([...headers])).join("\n");
  expect(logged).toContain("made a key"); // there is a log to look at
  expect(answers.length).toBeGreaterThan(KINDS.length * ROWS.length);
  for (const [kind, key] of presented) {
    if (key === null) continue;
    const canary = key.replace(/^cs_[^_]+_/, ""); // of a credential, its random part
    expect([kind, logged.includes(canary), answered.includes(canary)]).toEqual([kind, false, false]);
  }
});
