import { afterEach, expect } from "vitest";
import type { VerifierEvent } from "../../src/telemetry/events.ts";
import type { Caller } from "../../src/protocol/decision.ts";
import type { Reason } from "../../src/protocol/reasons.ts";
import { buildVerifier, type Verifier } from "../../src/verify/verifier.ts";
import type { VerifierOptions } from "../../src/verify/verifier-options.ts";
import { fakeClock, type FakeClock } from "./clock.ts";
import { serveKeys, type KeyServer } from "./key-server.ts";
import { tokenBy, type Jwk, type TestKey } from "./keys.ts";

/** A verifier with a key set on a real socket and its own clock. */
export interface ProtectedRoute {
  readonly verifier: Verifier;
  readonly keys: KeyServer;
  readonly clock: FakeClock;
  readonly events: VerifierEvent[];
  expectAllowed(token: string): Promise<Caller>;
  /**
   * Expects what every rejection has: the reason and its status, one event with the reason and without the
   * token, and no network call unless the case expects one.
   */
  expectRefused(token: unknown, reason: Reason, expected?: { status?: number; fetches?: number }): Promise<void>;
}

const verifiers = new Set<Verifier>();
afterEach(() => {
  for (const verifier of verifiers) verifier.close();
  verifiers.clear();
});

/** Closed after the test. */
export function closing(verifier: Verifier): Verifier {
  verifiers.add(verifier);
  return verifier;
}

export async function openRoute(
  published: readonly (TestKey | Jwk)[],
  options: Omit<VerifierOptions, "jwksUri" | "onEvent"> = {},
): Promise<ProtectedRoute> {
  const keys = await serveKeys(...published);
  const clock = fakeClock();
  const events: VerifierEvent[] = [];
  const onEvent = (event: VerifierEvent) => void events.push(event);
  const verifier = closing(buildVerifier({ ...options, jwksUri: keys.jwksUri, onEvent }, undefined, clock));
  return {
    verifier,
    keys,
    clock,
    events,
    async expectAllowed(token) {
      const decision = await verifier.verify(token);
      expect(decision).toMatchObject({ allowed: true });
      if (!decision.allowed) throw new Error(decision.reason);
      return decision.caller;
    },
    async expectRefused(token, reason, { status = 401, fetches = 0 } = {}) {
      const [eventsBefore, connectsBefore] = [events.length, keys.requests.length];
      const decision = await verifier.verify(token);
      expect(decision).toEqual({ allowed: false, reason, status });
      const reported = events.slice(eventsBefore);
      expect(reported.filter((event) => event.type === "refused").map((event) => event.reason)).toEqual([reason]);
      if (typeof token === "string" && token.length > 20)
        expect(JSON.stringify(reported)).not.toContain(token.slice(-20));
      expect(keys.requests.length - connectsBefore).toBe(fetches);
    },
  };
}

/** The same, after a valid token fetched the keys and is cached: the next rejection then has no other cause. */
export async function openPrimedRoute(
  key: TestKey,
  options: Omit<VerifierOptions, "jwksUri" | "onEvent"> = {},
  good: object = {},
): Promise<ProtectedRoute> {
  const route = await openRoute([key], options);
  for (let i = 0; i < 2; i++) await route.expectAllowed(tokenBy(key, good));
  return route;
}
