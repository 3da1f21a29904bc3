import { expect, vi } from "vitest";
import { openSqliteStore } from "../../src/adapters/sqlite/sqlite-store.ts";
import type { CoreOptions, Surroundings } from "../../src/index.ts";
import { startTestCore, type Answer, type TestCore } from "./core.ts";
import { newCredential } from "./services.ts";

/** The policy of the OAuth tests. */
const POLICY = {
  services: {
    orders: { calls: { inventory: ["stock:read", "stock:reserve"], billing: ["invoice:write"] } },
    inventory: {},
    billing: { calls: { inventory: ["stock:read"] } },
    idle: {},
  },
};

export interface OAuthCore extends TestCore {
  /** One per service. */
  readonly credentials: Readonly<Record<string, string>>;
  /** Sends a form; `undefined` omits a parameter, a list repeats it. */
  postForm(path: string, form: FormFields, headers?: Record<string, string>): Promise<Answer>;
  /** Requests a token for `inventory` with this assertion. */
  postAssertion(assertion: string, form?: FormFields, path?: string): Promise<Answer>;
  /** Returns an access token, or fails the test. */
  accessToken(form?: FormFields): Promise<string>;
}

export const FORM = { "content-type": "application/x-www-form-urlencoded" };
export type FormFields = Readonly<Record<string, string | readonly string[] | undefined>>;

/** RFC 7523 section 2.2. */
export function byAssertion(client_assertion: string): Record<string, string> {
  return { client_assertion, client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" };
}

/** Expects the one error for every failed client authentication. */
export function expectInvalidClient({ status, json, headers }: Answer): void {
  const description = "client authentication failed";
  expect([status, json]).toEqual([401, { error: "invalid_client", error_description: description }]);
  expect(headers.get("cache-control")).toBe("no-store");
}

/** Starts a core with the policy and its services. */
export async function startOAuthCore(options: CoreOptions = {}, surroundings: Surroundings = {}): Promise<OAuthCore> {
  const core = await startTestCore(options, surroundings);
  const credentials: Record<string, string> = {};
  for (const name of Object.keys(POLICY.services)) credentials[name] = (await newCredential(core, name)).credential;
  await applyPolicy(core, POLICY, surroundings);
  const postForm: OAuthCore["postForm"] = (path, form, headers = {}) =>
    core.call(path, {
      method: "POST",
      apiKey: null,
      body: formOf(form),
      headers: { ...FORM, ...headers },
    });
  return {
    ...core,
    credentials,
    postForm,
    postAssertion: (client_assertion, form = {}, path = "/oauth/token") =>
      postForm(path, {
        grant_type: "client_credentials",
        audience: "inventory",
        ...byAssertion(client_assertion),
        ...form,
      }),
    async accessToken(form = {}) {
      const own = { grant_type: "client_credentials", client_id: "orders", client_secret: credentials["orders"] };
      const answer = await postForm("/oauth/token", { ...own, audience: "inventory", ...form });
      expect(answer.text).toContain('"access_token"');
      return answer.json["access_token"] as string;
    },
  };
}

/** Writes to the store directly; the core applies it at its next poll. */
async function applyPolicy(core: TestCore, policy: object, { clock }: Surroundings): Promise<void> {
  const before = await core.epoch();
  const store = await openSqliteStore({ dataDir: core.dataDir, now: clock?.now ?? Date.now });
  try {
    await store.write(({ policies }) => policies.insert("public", JSON.stringify(policy), "the tests"));
  } finally {
    await store.close();
  }
  await vi.waitFor(async () => expect(await core.epoch()).toBeGreaterThan(before), { timeout: 10_000 });
}

export function formOf(fields: FormFields): string {
  const form = new URLSearchParams();
  for (const [name, value = []] of Object.entries(fields)) {
    for (const one of typeof value === "string" ? [value] : value) form.append(name, one);
  }
  return form.toString();
}

export function basic(name: string, secret: string): Record<string, string> {
  const encode = (text: string) => new URLSearchParams([["", text]]).toString().slice(1);
  return { authorization: `Basic ${Buffer.from(`${encode(name)}:${encode(secret)}`).toString("base64")}` };
}
