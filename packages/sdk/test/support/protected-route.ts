import { afterEach, expect } from "vitest";
import type { VerifierEvent } from "../../src/telemetry/events.ts";
import type { Caller } from "../../src/protocol/decision.ts";
import type { Reason } from "../../src/protocol/reasons.ts";
import { buildVerifier, type Verifier } from "../../src/verify/verifier.ts";
import type { VerifierOptions } from "../../src/verify/verifier-options.ts";
import { fakeClock, type FakeClock } from "./clock.ts";
import { serveKeys, type KeyServer } from "./key-server.ts";
import { tokenBy, type Jwk, type TestKey } from "./keys.ts";

/** A verifier with a key set on a real socket and a clock of its own. */
export interface ProtectedRoute {
  readonly verifier: Verifier;
  readonly keys: KeyServer;
  readonly clock: FakeClock;
  readonly events: VerifierEvent[];
  expectAllowed(token: string): Promise<Caller>;
  /**
   * The rule of every refusal: the reason and its status, one event with the reason and without the
   * token, and no network call unless the case says so.
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
      const told = events.slice(eventsBefore);
      expect(told.filter((event) => event.type === "refused").map((event) => event.reason)).toEqual([reason]);
      if (typeof token === "string" && token.length > 20) expect(JSON.stringify(told)).not.toContain(token.slice(-20));
      expect(keys.requests.length - connectsBefore).toBe(fetches);
    },
  };
}

/** The same, its keys fetched by a good token, which is kept: proof that what is refused next is not refused by accident. */
export async function openPrimedRoute(
  key: TestKey,
  options: Omit<VerifierOptions, "jwksUri" | "onEvent"> = {},
  good: object = {},
): Promise<ProtectedRoute> {
  const route = await openRoute([key], options);
  for (let i = 0; i < 2; i++) await route.expectAllowed(tokenBy(key, good));
  return route;
}
