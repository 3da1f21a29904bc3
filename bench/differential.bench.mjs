// Compares the verifier with jose on 2,000,000 changed tokens (or COUNTERSIGN_TEST_ROUNDS), different ones on every run.
// TOKENS_SEED repeats a run.
import { runTest } from "./test-run.mjs";

process.env["TOKENS_SEED"] ??= String(Math.floor(Math.random() * 2 ** 31));
await runTest("packages/sdk/test/verify/verifier/differential.test.ts", 2_000_000);
