// The examples as their users start them: real processes, the tokens of a real core.
import { createCountersign, type Countersign } from "countersign";
import { generateKeyPairSync, sign } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { Process, ROOT, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

let coreUrl = "";
let orders: Countersign;

/** One core for all examples, each of which is a service. */
beforeAll(async () => {
  const cleanUps: (() => void | Promise<void>)[] = [];
  const atEnd = (cleanUp: () => void | Promise<void>) => void cleanUps.unshift(cleanUp);
  const core = await startCoreProcess(await temporaryDirectory(atEnd), [], {}, atEnd);
  coreUrl = core.url;
  orders = createCountersign({
    appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
    core: { connectionURI: coreUrl },
  });
  return async () => {
    await orders.close();
    for (const cleanUp of cleanUps) await cleanUp();
  };
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
  const service = new Process([join("examples", file)], { CORE_URI: coreUrl, PORT: "0", ...env });
  onTestFinished(() => void service.kill("SIGKILL"));
  const [, url] = await service.prints(/^inventory listening on (http:\/\/\S+)$/m);
  await expectGuarded(url!, aud);
  expect(service.stderr).toBe("");
});

test("the example of Next.js accepts service tokens only, and serves the keys", { timeout: 120_000 }, async () => {
  const next = createRequire(import.meta.url).resolve("next/dist/bin/next");
  const service = new Process(
    [next, "dev", "--port", "0", "--hostname", "127.0.0.1"],
    { CORE_URI: coreUrl, NEXT_TELEMETRY_DISABLED: "1", NODE_ENV: "development" },
    join(ROOT, "examples", "nextjs"),
  );
  onTestFinished(async () => void (await service.kill("SIGTERM")));
  const [, url] = await service.prints(/Local: +(http:\/\/\S+)$/m);
  await expectGuarded(url!);
  expect(service.stderr).toBe("");
});

async function expectGuarded(url: string, aud?: string): Promise<void> {
  const minted = await orders.createJWT({ source: "microservice", service: "orders", aud }, 600);
  if (minted.status !== "OK") throw new Error(minted.status);
  const ask = async (token?: string) => {
    const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await fetch(`${url}/stock/anvil`, { headers });
    return [answer.status, await answer.json(), answer.headers.get("www-authenticate")];
  };
  expect(await ask(minted.jwt)).toEqual([200, { item: "anvil", left: 7, caller: "orders" }, null]);
  const challenge = 'Bearer realm="microservices"';
  expect(await ask()).toEqual([401, { message: "Unauthorized" }, challenge]);
  const refused = [401, { message: "Unauthorized" }, `${challenge}, error="invalid_token"`];
  expect(await ask(forged(minted.jwt))).toEqual(refused);

  const keys = await fetch(`${url}/auth/jwt/jwks.json`);
  expect(await keys.json()).toEqual(await (await fetch(`${coreUrl}/.well-known/jwks.json`)).json());
}

/** Returns the token signed with another key. */
function forged(token: string): string {
  const input = token.slice(0, token.lastIndexOf("."));
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return `${input}.${sign("sha256", Buffer.from(input), privateKey).toString("base64url")}`;
}
