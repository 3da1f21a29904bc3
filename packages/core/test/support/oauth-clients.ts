import { generateKeyPairSync, randomUUID, type KeyObject } from "node:crypto";
import { exportJWK, SignJWT, type JWTPayload } from "jose";
import { expect } from "vitest";
import { fakeClock } from "./clock.ts";
import { ADMIN_KEY, type Answer } from "./core.ts";
import { canaryOf, makeCredentials, type Kind } from "./credential-kinds.ts";
import { recordedLog } from "./log.ts";
import { basic, byAssertion, startOAuthCore, type FormFields, type OAuthCore } from "./oauth.ts";
import { callServices, newCredential } from "./services.ts";

export const ISSUER = "https://core.test";
const PLATFORM = "https://platform.test";
export const TOKEN = "/oauth/token";

/** Client authentication: form parameters and headers. */
export type Shown = readonly [form: FormFields, headers?: Record<string, string>];
export type Show = () => Shown | Promise<Shown>;

const pair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
type KeyPair = ReturnType<typeof pair>;

/** A core with clients of every kind; `orders` has a secret, a key and a platform. */
export class OAuthClients {
  /** The keys of services, of `orders` in the app `shop`, and of the platform. */
  readonly keys = { orders: pair(), billing: pair(), shop: pair(), platform: pair() };
  /** All responses to `ask`. */
  readonly answers: Answer[] = [];
  readonly #clock = fakeClock();
  readonly #log = recordedLog();
  readonly #shown: string[] = [];
  #core: OAuthCore | undefined;
  #credentials: ReadonlyMap<Kind, string | null> = new Map();

  async start(): Promise<void> {
    const core = await startOAuthCore({ maxRingAge: 1e15, publicUrl: ISSUER }, { clock: this.#clock, log: this.#log });
    this.#core = core;
    this.#credentials = await makeCredentials(core, this.#clock);
    const admin = async (method: string, path: string, body: object) => {
      const answer = await core.call(`/admin/v1/apps${path}`, { method, apiKey: ADMIN_KEY, body });
      expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
    };
    const hasKey = async (name: string, key: KeyPair, app = "public") =>
      admin("PUT", `/${app}/services/${name}/keys`, { jwks: await jwksOf(key) });
    await newCredential(core, "deleted"); // registered again to get a key and a platform, and deleted below
    for (const name of ["orders", "disabled", "deleted"]) {
      await hasKey(name, this.keys.orders);
      const trust = { service: name, issuer: PLATFORM, subject: `pod:${name}`, audience: "core" };
      await admin("POST", "/public/trusts", { ...trust, jwks: await jwksOf(this.keys.platform) });
    }
    await hasKey("billing", this.keys.billing);
    await hasKey("orders", this.keys.shop, "shop");
    await callServices(core, "/deleted/delete", {});
  }

  get core(): OAuthCore {
    return this.#core!;
  }

  now(): number {
    return Math.floor(this.#clock.now() / 1000);
  }

  secretOf(kind: Kind): string {
    return this.#credentials.get(kind)!;
  }

  /** Sends a request after a minute, so that no address is throttled. */
  async ask(path: string, show: Show, fields: FormFields): Promise<Answer> {
    this.#clock.advance(60_000);
    const [form, headers] = await show();
    const grant = path.endsWith(TOKEN) ? { grant_type: "client_credentials", audience: "inventory" } : {};
    const answer = await this.core.postForm(path, { ...grant, ...form, ...fields }, headers);
    this.answers.push(answer);
    return answer;
  }

  /** Returns a valid assertion of `orders`, with these claims changed. */
  assertion(claims: JWTPayload = {}, by = this.keys.orders): Promise<string> {
    const good = { iss: "orders", sub: "orders", aud: ISSUER, exp: this.now() + 60, jti: randomUUID() };
    return this.#sign({ ...good, ...claims }, by.privateKey);
  }

  platformToken(claims: JWTPayload = {}, by = this.keys.platform): Promise<string> {
    const good = { iss: PLATFORM, sub: "pod:orders", aud: "core", exp: this.now() + 3600 };
    return this.#sign({ ...good, ...claims }, by.privateKey);
  }

  #sign(claims: JWTPayload, key: KeyObject): Promise<string> {
    return new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "k" }).setIssuedAt(this.now()).sign(key);
  }

  by(client_assertion: string): FormFields {
    this.#shown.push(client_assertion);
    return byAssertion(client_assertion);
  }

  /** Every method by which `orders` of the app `public` can authenticate. */
  proofs(): readonly (readonly [how: string, show: Show])[] {
    return [
      ["Basic", () => [{}, basic("orders", this.secretOf("a service"))]],
      ["the body", () => [{ client_id: "orders", client_secret: this.secretOf("a service") }]],
      ["an assertion by its own key", async () => [this.by(await this.assertion())]],
      ["an assertion by its platform", async () => [this.by(await this.platformToken())]],
    ];
  }

  /** Expects no secret in the log or in a response, and no issued token in the log. */
  expectNothingKept(): void {
    const logged = this.#log.lines.join("\n");
    const answered = this.answers.map(({ text, headers }) => text + JSON.stringify([...headers])).join("\n");
    expect(logged).toContain("signing key created"); // The log is not empty.
    for (const secret of [...this.#credentials.values(), ...this.#shown]) {
      if (secret === null) continue;
      const canary = canaryOf(secret);
      expect([secret, logged.includes(canary), answered.includes(canary)]).toEqual([secret, false, false]);
    }
    const tokens = this.answers.flatMap(({ text }) => /"access_token":"([^"]+)"/.exec(text)?.[1] ?? []);
    expect(tokens.length * this.#shown.length).toBeGreaterThan(0);
    for (const token of tokens) expect(logged).not.toContain(token);
  }
}

async function jwksOf({ publicKey }: KeyPair): Promise<object> {
  return { keys: [{ ...(await exportJWK(publicKey)), kid: "k" }] };
}
