// Requests that tests send to a running core.
import { randomBytes } from "node:crypto";
import { createVerifier } from "countersign";
import { expect, onTestFinished } from "vitest";

const ADMIN_KEY = "admin-key-of-the-tests-01";

export interface KeyView {
  kid: string;
  kind: string;
  algorithm: string;
  state: string;
  signsFrom: string;
  signsUntil: string | null;
}

export async function admin<T>(url: string, method: string, path: string, body?: object): Promise<T> {
  const init: RequestInit = { method, headers: { authorization: `Bearer ${ADMIN_KEY}` } };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(`${url}/admin/v1${path}`, init);
  const text = await response.text();
  expect([response.status, text]).toEqual([200, expect.anything()]);
  return JSON.parse(text) as T;
}

export const keysOf = async (url: string) => (await admin<{ keys: KeyView[] }>(url, "GET", "/apps/public/keys")).keys;

export async function mint(url: string, useStaticSigningKey: boolean, algorithm = "RS256"): Promise<string> {
  const payload = { sub: "orders", source: "microservice" };
  const body = { payload, algorithm, jwksDomain: "https://a.test", validity: 20, useStaticSigningKey };
  const response = await fetch(`${url}/recipe/jwt`, { method: "POST", body: JSON.stringify(body) });
  return ((await response.json()) as { jwt: string }).jwt;
}

/** Returns the reasons for which a verifier of this core rejects some of the tokens. */
export async function rejectionsOf(url: string, tokens: readonly string[]): Promise<string[]> {
  const verifier = createVerifier({ jwksUri: `${url}/.well-known/jwks-all.json` });
  onTestFinished(() => verifier.close());
  const decisions = await Promise.all(tokens.map((token) => verifier.verify(token)));
  return [...new Set(decisions.flatMap((decision) => (decision.allowed ? [] : [decision.reason])))];
}

/** Returns the environment of cores that share a database: the same master key and admin key. */
export function environmentOn(database: string, rotation?: object): NodeJS.ProcessEnv {
  return {
    COUNTERSIGN_DATABASE: database,
    COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url"),
    COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY,
    ...(rotation && { COUNTERSIGN_ROTATION: JSON.stringify(rotation) }),
  };
}
