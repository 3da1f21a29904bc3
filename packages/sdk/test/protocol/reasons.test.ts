import { describe, expect, test } from "vitest";
import { challengeFor } from "../../src/protocol/challenge.ts";
import { refuse } from "../../src/protocol/decision.ts";
import { meaningOf, REASONS, type Reason } from "../../src/protocol/reasons.ts";

// Written out again on purpose: clients depend on each status and error code. A missing reason does not compile.
const EXPECTED: Record<Reason, readonly [status: number, error: string | undefined]> = {
  token_missing: [401, undefined],
  authorization_malformed: [400, "invalid_request"],
  token_malformed: [401, "invalid_token"],
  token_too_large: [401, "invalid_token"],
  header_not_allowed: [401, "invalid_token"],
  algorithm_not_allowed: [401, "invalid_token"],
  typ_not_allowed: [401, "invalid_token"],
  key_unknown: [401, "invalid_token"],
  signature_invalid: [401, "invalid_token"],
  claims_malformed: [401, "invalid_token"],
  token_expired: [401, "invalid_token"],
  token_not_yet_valid: [401, "invalid_token"],
  lifetime_exceeded: [401, "invalid_token"],
  issuer_mismatch: [401, "invalid_token"],
  audience_mismatch: [401, "invalid_token"],
  token_revoked: [401, "invalid_token"],
  claim_mismatch: [403, "insufficient_scope"],
  caller_not_allowed: [403, "insufficient_scope"],
  insufficient_scope: [403, "insufficient_scope"],
  keys_unavailable: [503, undefined],
};
const rows = Object.entries(EXPECTED) as [Reason, (typeof EXPECTED)[Reason]][];

describe("the table of reasons", () => {
  test("has exactly the expected reasons, each with status, error code and meaning", () => {
    expect(Object.keys(REASONS)).toEqual(Object.keys(EXPECTED));
    for (const facts of Object.values(REASONS)) expect(Object.keys(facts)).toEqual(["status", "error", "meaning"]);
  });

  test.each(rows)("%s has its own status, error code and challenge", (reason, [status, error]) => {
    expect(REASONS[reason]).toMatchObject({ status, error });
    expect(refuse(reason)).toEqual({ allowed: false, reason, status });
    const parameters = error === undefined ? "" : `, error="${error}"`;
    expect(challengeFor(reason)).toBe(status === 503 ? undefined : `Bearer realm="microservices"${parameters}`);
  });

  test("every meaning is unique", () => {
    const meanings = rows.map(([reason]) => meaningOf(reason));
    expect(new Set(meanings).size).toBe(rows.length);
    for (const meaning of meanings) expect(meaning).toMatch(/^[a-zA-Z][^.]+$/);
  });
});
