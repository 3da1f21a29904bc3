import { describe, expect, it } from "vitest";
import {
  addImported,
  applyUpdates,
  revokeKey,
  rotateSigner,
  type DecideChange,
  type KeyChange,
} from "../../../src/domain/keys/key-change.ts";
import { isRefused } from "../../../src/domain/change-result.ts";
import { planRotation } from "../../../src/domain/keys/rotation.ts";
import type { SigningKey } from "../../../src/domain/keys/signing-key.ts";
import { NEW_YEAR } from "../../support/clock.ts";
import { keyOfStep, RSA_ROTATION, signingKey } from "../../support/keys.ts";

const { lead } = RSA_ROTATION;
const HOUR = 3_600_000;

function decided(decide: DecideChange, keys: readonly SigningKey[], now: number): KeyChange {
  const change = decide(keys, RSA_ROTATION, now);
  if (isRefused(change)) throw new Error(change.problem);
  return change;
}

/** Returns the keys after the plan. */
function planned(keys: readonly SigningKey[], now: number): SigningKey[] {
  const made = planRotation(keys, RSA_ROTATION, now).filter((step) => step.type === "create");
  return [...keys, ...made.map((step) => keyOfStep(step, now))];
}

/** Returns the keys after the change and the rotation that it makes due. */
function after(decide: DecideChange, keys: readonly SigningKey[], now: number): SigningKey[] {
  const { updates, create } = decided(decide, keys, now);
  const changed = applyUpdates(keys, updates);
  if (create !== undefined) changed.push(keyOfStep(create, now));
  return planned(changed, now);
}

const begun = planned([], NEW_YEAR);
const staticOnes = (keys: readonly SigningKey[]) => keys.filter((key) => key.kind === "static");

describe("rotateSigner", () => {
  it("R16 can be repeated if the key it prepared was revoked, as can an import that signs", () => {
    const rotated = after(rotateSigner("static", "RS256", null), begun, NEW_YEAR);
    const [signer, prepared] = staticOnes(rotated);
    const revoked = after(revokeKey(prepared!.kid), rotated, NEW_YEAR + 1);
    const importing = addImported("RS256", { ...signer!.publicJwk, kid: "s-x", n: "Ag" }, true, null);
    for (const again of [rotateSigner("static", "RS256", null), importing]) {
      for (const now of [NEW_YEAR + 2, NEW_YEAR + lead, NEW_YEAR + 8_760 * HOUR]) {
        const { updates, create } = decided(again, revoked, now);
        expect(updates).toEqual([{ kid: signer!.kid, dates: { signsUntil: NEW_YEAR + lead, verifiesUntil: null } }]);
        expect(create).toMatchObject({ sequence: 3, signsFrom: now + lead });
      }
    }
  });

  it("R16 keeps the old key for a second longer than it signs, so its last tokens do not expire immediately", () => {
    const keepUntil = (date: number) => rotateSigner("static", "RS256", date)(begun, RSA_ROTATION, NEW_YEAR);
    const problem = expect.stringContaining("signs until");
    expect(keepUntil(NEW_YEAR + lead + 999)).toEqual({ status: 400, problem });
    expect(keepUntil(NEW_YEAR + lead + 1_000)).toMatchObject({ create: { signsFrom: NEW_YEAR + lead } });
  });

  it("brings forward the first of several waiting keys", () => {
    const dynamic = (sequence: number) =>
      signingKey({
        ...{
          kid: `d-${sequence}`,
          kind: "dynamic",
          sequence,
          createdAt: 0,
          signsFrom: NEW_YEAR + sequence * HOUR - HOUR,
        },
        signsUntil: NEW_YEAR + 9 * HOUR,
        verifiesUntil: NEW_YEAR + 99 * HOUR,
      });
    const { updates } = decided(rotateSigner("dynamic", "RS256", null), [3, 2, 1].map(dynamic), NEW_YEAR);
    expect(updates.map((update) => update.kid)).toEqual(["d-2", "d-1"]);
  });
});

describe("revokeKey", () => {
  it("R16 of the successor of a key with an end prepares another successor immediately", () => {
    const rotated = after(rotateSigner("static", "RS256", NEW_YEAR + 24 * HOUR), begun, NEW_YEAR);
    const revoked = after(revokeKey(staticOnes(rotated)[1]!.kid), rotated, NEW_YEAR + 1_000);
    expect(staticOnes(revoked).at(-1)).toMatchObject({ sequence: 3, signsFrom: NEW_YEAR + 1_000 + lead });
  });

  it("H9 does not echo an unknown kid", () => {
    const refused = revokeKey("<img>\u001b[31m")(begun, RSA_ROTATION, NEW_YEAR);
    expect(refused).toEqual({ status: 404, problem: "key not found, or already revoked" });
  });
});

describe("addImported", () => {
  it("rejects a revoked key indefinitely, under its own kid and under any other (409)", () => {
    const keys = [signingKey({ kid: "s-old", sequence: 0, revokedAt: NEW_YEAR })];
    const { publicJwk } = keys[0]!;
    const importing = (kid: string, n: string) => addImported("RS256", { ...publicJwk, kid, n }, false, null);
    for (const kid of ["s-old", "s-other"]) {
      const refused = importing(kid, "AQ")(keys, RSA_ROTATION, NEW_YEAR + 1e12);
      expect(refused).toEqual({ status: 409, problem: "this key has been revoked" });
    }
    const another = importing("s-old", "Ag")(keys, RSA_ROTATION, NEW_YEAR);
    expect(another).toEqual({ status: 400, problem: "kid: already in use" });
  });
});
