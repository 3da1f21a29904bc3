// The verifier against jose: the test of the same name with 2,000,000 changed tokens, or as many as TOKENS says, and
// other ones each time; TOKENS_SEED repeats a run.
import { runTest } from "./test-run.mjs";

await runTest("packages/sdk/test/verify/verifier/differential.test.ts", {
  TOKENS: "2000000",
  TOKENS_SEED: String(Math.floor(Math.random() * 2 ** 31)),
});
