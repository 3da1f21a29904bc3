// R7 whole: 16 instances rotate at once, on SQLite and on PostgreSQL, and exactly one key is made each time. It is the
// test of the same name with more rounds: 10,000, or as many as ROUNDS says.
import { runTest } from "./test-run.mjs";

await runTest("packages/core/test/use-cases/keys/rotation-race.test.ts", { ROUNDS: "10000" });
