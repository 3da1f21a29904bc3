import { join } from "node:path";
import { afterAll, expect, vi } from "vitest";
import type { PublishedJwk } from "countersign/protocol";
import { startCore, type CoreOptions, type RunningCore, type Surroundings } from "../../src/index.ts";
import { tempDir } from "./temp-dir.ts";

export const API_KEY = "api-key-of-the-tests-0001";
export const OTHER_API_KEY = "api-key-of-the-tests-0002";
export const ADMIN_KEY = "admin-key-of-the-tests-01";

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly headers: Headers;
  /** The body as JSON. */
  readonly json: Record<string, unknown>;
}

export interface CallOptions {
  readonly method?: string;
  /** `null` sends none. Default: the first API key. */
  readonly apiKey?: string | null;
  readonly headers?: Record<string, string>;
  /** A string or bytes are sent unchanged, everything else as JSON. */
  readonly body?: unknown;
}

export interface TestCore {
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  /** Sends a request without a socket. */
  fetch(request: Request): Promise<Response>;
  call(path: string, options?: CallOptions): Promise<Answer>;
  /** Sends `POST /recipe/jwt` with a valid body and these fields; `undefined` omits a field. */
  post(fields?: Record<string, unknown>, options?: CallOptions & { path?: string }): Promise<Answer>;
  /** Returns a token, or fails the test. */
  mint(fields?: Record<string, unknown>, options?: CallOptions & { path?: string }): Promise<string>;
  keys(prefix?: string): Promise<PublishedJwk[]>;
  /** Returns the store's epoch from the admin API. */
  epoch(): Promise<number>;
  close(): Promise<void>;
}

const open = new Set<RunningCore>();
afterAll(async () => {
  for (const core of open) await core.close();
  open.clear();
});

/** Starts a core on a free port and a new data directory. It closes when the test file ends. */
export async function startTestCore(options: CoreOptions = {}, surroundings: Surroundings = {}): Promise<TestCore> {
  const dataDir = options.dataDir ?? join(await tempDir(), "data");
  const place = options.database === undefined ? { dataDir } : {};
  const core = await startCore(
    { port: 0, apiKeys: [API_KEY, OTHER_API_KEY], adminKeys: [ADMIN_KEY], ...options, ...place },
    { environment: {}, ...surroundings },
  );
  open.add(core);

  const call: TestCore["call"] = async (path, { method = "GET", apiKey = API_KEY, headers = {}, body } = {}) => {
    const raw = typeof body === "string" || body instanceof Uint8Array;
    const response = await fetch(core.url + path, {
      method,
      headers: { ...(apiKey === null ? {} : { "api-key": apiKey }), ...headers },
      ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
    });
    return readAnswer(response);
  };
  const post: TestCore["post"] = (fields = {}, { path = "/recipe/jwt", ...rest } = {}) => {
    const body = { payload: { sub: "orders" }, algorithm: "RS256", jwksDomain: "https://a.test", validity: 3600 };
    return call(path, { method: "POST", body: { ...body, ...fields }, ...rest });
  };
  const self: TestCore = {
    url: core.url,
    port: Number(new URL(core.url).port),
    dataDir,
    fetch: (request) => core.fetch(request),
    call,
    post,
    async mint(fields, rest) {
      const answer = await post(fields, rest);
      expect(answer.text).toContain('"status":"OK"');
      return answer.json["jwt"] as string;
    },
    async keys(prefix = "") {
      return (await call(`${prefix}/.well-known/jwks.json`)).json["keys"] as PublishedJwk[];
    },
    async epoch() {
      const { json } = await call("/admin/v1/status", { apiKey: ADMIN_KEY });
      return json["epoch"] as number;
    },
    async close() {
      if (open.delete(core)) await core.close();
    },
  };
  // The maintenance loop changes nothing more once the second dynamic key is published.
  await vi.waitFor(async () => expect((await self.keys()).length).toBeGreaterThanOrEqual(3), {
    timeout: 10_000,
    interval: 10,
  });
  return self;
}

async function readAnswer(response: Response): Promise<Answer> {
  const text = await response.text();
  return {
    status: response.status,
    text,
    headers: response.headers,
    get json() {
      return JSON.parse(text) as Record<string, unknown>;
    },
  };
}

/** Expects an error of the driver interface: exactly this text. */
export function expectText(answer: Answer, status: number, text: string): void {
  expect([answer.status, answer.text]).toEqual([status, text]);
  expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
}

export interface DecodedToken {
  readonly header: Record<string, unknown>;
  readonly claims: Record<string, unknown>;
}

/** Decodes a token without verifying it, independently of the code under test. */
export function partsOf(jwt: string): DecodedToken {
  const [header, claims] = jwt.split(".").map((part) => Buffer.from(part, "base64url").toString("utf8"));
  return { header: JSON.parse(header!), claims: JSON.parse(claims!) } as DecodedToken;
}

/** Returns a payload nested this deep; `{}` is 1. */
export function nested(depth: number): string {
  return '{"a":'.repeat(depth - 1) + "{}" + "}".repeat(depth - 1);
}
