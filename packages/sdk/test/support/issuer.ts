import { createHash } from "node:crypto";
import { expect, vi } from "vitest";
import type { VerifierEvent } from "../../src/telemetry/events.ts";
import { buildVerifier, type Verifier } from "../../src/verify/verifier.ts";
import type { VerifierOptions } from "../../src/verify/verifier-options.ts";
import { fakeClock, type FakeClock } from "./clock.ts";
import { closing } from "./protected-route.ts";
import { listen, type TestServer } from "./http.ts";
import { forge, NOW, type TestKey } from "./keys.ts";

export interface FeedContent {
  tokens?: unknown;
  services?: unknown;
  kids?: unknown;
  generation?: unknown;
  epoch?: unknown;
}

/** A key set and its feed, over real HTTP, whose content a test can change at any time. */
export interface Issuer extends TestServer {
  readonly jwksUri: string;
  keys: readonly TestKey[];
  /** The feed to send; undefined: 404. */
  feed: string | undefined;
  /** The status of every response, if set. */
  status: number | undefined;
  /** max-age of its documents, in seconds. */
  maxAge: number;
  /** Publishes a feed with the next epoch, or with the given epoch and generation. */
  revoke(content: FeedContent, by?: TestKey, header?: object): void;
}

export async function serveIssuer(...keys: TestKey[]): Promise<Issuer> {
  const server = await listen((req, res) => {
    if (issuer.status !== undefined) return void res.writeHead(issuer.status).end();
    const body = req.url!.startsWith("/revocations")
      ? issuer.feed
      : JSON.stringify({ keys: issuer.keys.map(({ jwk }) => jwk) });
    if (body === undefined) return void res.writeHead(404).end();
    const etag = `"${createHash("sha256").update(body).digest("base64url")}"`;
    const headers = { etag, "cache-control": `max-age=${issuer.maxAge}` };
    if (req.headers["if-none-match"] === etag) return void res.writeHead(304, headers).end();
    res.writeHead(200, headers).end(body);
  });
  let epoch = 0;
  const issuer: Issuer = Object.assign(server, {
    jwksUri: `${server.url}/jwks.json`,
    keys,
    feed: undefined,
    status: undefined,
    maxAge: 60,
    revoke(content: FeedContent, by = keys[0]!, header: object = {}) {
      const order = { generation: 1, epoch: ++epoch };
      const claims = { iat: NOW, ...order, tokens: [], services: [], kids: [], ...content };
      issuer.feed = forge(by, { alg: by.algorithm, typ: "revocations+jwt", kid: by.kid, ...header }, claims);
    },
  });
  return issuer;
}

/** A verifier of that issuer, with its own clock. */
export interface Reader {
  readonly verifier: Verifier;
  readonly clock: FakeClock;
  readonly events: VerifierEvent[];
  /** `allowed`, or the reason for the rejection. */
  outcome(token: string): Promise<string>;
  /** Advances the clock, verifies the token, and waits for the background work that this starts. */
  later(seconds: number, token: string, event: VerifierEvent["type"]): Promise<void>;
}

export function readerOf(issuer: Issuer, options: Partial<VerifierOptions> = {}): Reader {
  const clock = fakeClock();
  const events: VerifierEvent[] = [];
  const onEvent = (event: VerifierEvent) => void events.push(event);
  const verifier = closing(buildVerifier({ jwksUri: issuer.jwksUri, onEvent, ...options }, undefined, clock));
  const count = (type: VerifierEvent["type"]) => events.filter((event) => event.type === type).length;
  return {
    verifier,
    clock,
    events,
    async outcome(token) {
      const decision = await verifier.verify(token);
      return decision.allowed ? "allowed" : decision.reason;
    },
    async later(seconds, token, event) {
      const before = count(event);
      clock.advance(seconds);
      await verifier.verify(token);
      await vi.waitFor(() => expect(count(event)).toBeGreaterThan(before), { interval: 2 });
    },
  };
}
