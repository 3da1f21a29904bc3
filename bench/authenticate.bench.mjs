// What it costs to know a service by its credential, with 10,000 of them, and whether one that is not good takes as long;
// then all of them ask for a token at once. It is the test of the same name with more rounds: 500, or as many as ROUNDS
// says. The figures are its notes.
import { runTest } from "./test-run.mjs";

await runTest("packages/core/test/timing/authenticating-speed.long.test.ts", { ROUNDS: "500" });
