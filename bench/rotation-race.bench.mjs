// R7 at full length: 16 instances rotate keys at once, on SQLite and on PostgreSQL, and create exactly one key each time.
// 10,000 rounds, or COUNTERSIGN_TEST_ROUNDS.
import { runTest } from "./test-run.mjs";

await runTest("packages/core/test/use-cases/keys/rotation-race.test.ts", 10_000);
