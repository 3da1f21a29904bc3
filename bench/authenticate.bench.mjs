// Measures how long it takes to authenticate one of 10,000 services by its credential, and whether a wrong credential takes
// as long; then all services request a token at once. Runs the long test of the same name with 500 rounds, or with
// COUNTERSIGN_TEST_ROUNDS.
import { runTest } from "./test-run.mjs";

await runTest("packages/core/test/timing/authenticating-speed.long.test.ts", 500);
