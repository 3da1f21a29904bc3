// Many instances that rotate keys at the same moment (R7). `npm run bench -- rotation-race` runs 10,000 rounds. There are
// fewer on PostgreSQL, where a round takes four times as long.
import { describe, expect, it } from "vitest";
import { fakeClock } from "../../support/clock.ts";
import { openInstance, type Instance } from "../../support/instance.ts";
import { itOnPostgres, note } from "../../support/postgres.ts";
import { onPostgres, onSqlite } from "../../support/store-places.ts";
import { rounds } from "../../../../../test/support/rounds.ts";

const INSTANCES = 16;

/** The shortest valid lead time, period and hold. Few keys are live at the same time, so rounds are quick. */
const ROTATION = { lead: 185_000, period: 600_000, hold: 600_000 };

/**
 * Simulates a period by moving every date earlier, which is the only change of dates that a store accepts.
 * The deciding clock remains the store's, which on PostgreSQL is the server's.
 */
async function letPeriodPass({ store }: Instance): Promise<void> {
  const nearer = (date: number | null) => (date === null ? null : date - ROTATION.period);
  await store.write(async (writer) => {
    for (const { kid, signsFrom, signsUntil, verifiesUntil } of await writer.keys.listIn("public")) {
      const dates = {
        signsFrom: nearer(signsFrom)!,
        signsUntil: nearer(signsUntil),
        verifiesUntil: nearer(verifiesUntil),
      };
      await writer.keys.update("public", kid, dates);
    }
  });
}

describe.each([
  ["SQLite", it, onSqlite, { quick: 20, short: 50, full: 300 }],
  ["PostgreSQL", itOnPostgres, onPostgres, { quick: 10, short: 30, full: 200 }],
] as const)("%s", (engine, itHere, place, counts) => {
  const total = rounds(counts);
  itHere(
    `R7 ${INSTANCES} instances that rotate at the same time create exactly one key each time, ${total} rounds`,
    async () => {
      const openStore = await place();
      const realTime = { ...fakeClock(), now: () => Date.now(), monotonic: () => performance.now() };
      const open = () => openInstance({ openStore, clock: realTime, rotation: ROTATION });
      const instances = await Promise.all(Array.from({ length: INSTANCES }, open));
      const first = instances[0]!;
      await first.rotateKeys.provisionApp("public");
      await first.rotateKeys.rotateAll();

      const made = new Map<string, number>();
      const began = performance.now();
      for (let round = 1; round <= total; round++) {
        await letPeriodPass(first);
        // The barrier: all have read the same state, and all find that a key is due.
        await Promise.all(instances.map((one) => one.state.refresh()));
        await Promise.all(instances.map((one) => one.rotateKeys.rotateAll()));

        const { keys } = await first.store.readSnapshot();
        const sequences = keys.filter((key) => key.kind === "dynamic").map((key) => key.sequence);
        expect(new Set(sequences).size).toBe(sequences.length);
        expect(Math.max(...sequences)).toBe(round + 2);
        for (const { kind, kid, sequence } of keys) {
          if (kind === "dynamic") expect(made.get(kid) ?? sequence).toBe(sequence);
          made.set(kid, sequence);
        }
        // All publish the same set, and sign with the same key.
        await Promise.all(instances.map((one) => one.state.refresh()));
        expect(new Set(instances.map((one) => one.state.publishedSets("public")!.all.etag)).size).toBe(1);
        const signers = instances.map((one) => one.state.signer("public", "dynamic", "ES256")!.sequence);
        expect(new Set(signers)).toEqual(new Set([round + 1]));
      }
      const dynamic = [...made.keys()].filter((kid) => kid.startsWith("d-"));
      expect(dynamic).toHaveLength(total + 2); // the first key and its successor already existed
      const perRound = (performance.now() - began) / total;
      note(
        `R7 ${engine}: ${total} rounds of ${INSTANCES} instances, ${dynamic.length} keys, ${perRound.toFixed(1)} ms each`,
      );
    },
    Math.max(60_000, total * 2_000),
  );
});
