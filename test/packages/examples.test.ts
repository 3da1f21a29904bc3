// The examples as their users start them: real processes, the tokens of a real core.
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startExampleCaller, type ExampleCaller } from "../support/example-caller.ts";
import { Process } from "../support/processes.ts";

let caller: ExampleCaller;
beforeAll(async () => {
  caller = await startExampleCaller();
  return () => caller.close();
});

test.each<[name: string, file: string, env?: NodeJS.ProcessEnv, aud?: string]>([
  ["Express", "inventory/dist/main.mjs", {}, "inventory"],
  ["Fastify", "frameworks/dist/fastify.mjs"],
  ["hapi", "frameworks/dist/hapi.mjs"],
  ["Hono", "frameworks/dist/hono.mjs"],
  ["Koa", "frameworks/dist/koa.mjs"],
  ["AWS Lambda", "frameworks/dist/lambda.mjs"],
  ["NestJS on Express", "frameworks/dist/nest.mjs"],
  ["NestJS on Fastify", "frameworks/dist/nest.mjs", { PLATFORM: "fastify" }],
  ["node:http", "frameworks/dist/node.mjs"],
  ["any Request -> Response", "frameworks/dist/web.mjs"],
])("the example of %s accepts service tokens only, and serves the keys", async (_name, file, env = {}, aud) => {
  const service = new Process([join("examples", file)], { CORE_URI: caller.coreUrl, PORT: "0", ...env });
  onTestFinished(() => void service.kill("SIGKILL"));
  const [, url] = await service.prints(/^inventory listening on (http:\/\/\S+)$/m);
  await caller.expectGuarded(url!, aud);
  expect(service.stderr).toBe("");
});
