// R16: a bug of existing cores. A published client requests a dynamic key and a year, and its token verifies until
// exactly its exp, which is as late as its key allows.
import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import supertokens from "supertokens-node";
import JWT from "supertokens-node/recipe/jwt";
import { expect, onTestFinished, test, vi } from "vitest";
import { startCore } from "countersign-core";

const DAY = 86_400_000;
const YEAR = 365 * 86_400;

test("R16 supertokens-node requests a dynamic key and a year: the token verifies until exactly its exp", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "countersign-interop-"));
  let wall = 1_800_000_000_000;
  let monotonic = 0;
  const advance = (ms: number) => {
    wall += ms;
    monotonic += ms;
  };
  const core = await startCore(
    { port: 0, dataDir, apiKeys: [], maxRingAge: 1e15 },
    { clock: { now: () => wall, monotonic: () => monotonic }, environment: {} },
  );
  onTestFinished(async () => {
    await core.close();
    await rm(dataDir, { recursive: true, force: true });
  });
  supertokens.init({
    framework: "express",
    supertokens: { connectionURI: core.url },
    appInfo: { appName: "orders", apiDomain: "localhost:4001", websiteDomain: "localhost:3000" },
    recipeList: [JWT.init()],
    telemetry: false,
  });

  const answer = await JWT.createJWT({ source: "microservice" }, YEAR, false);
  if (answer.status !== "OK") throw new Error(answer.status);
  const { exp, iat } = JSON.parse(Buffer.from(answer.jwt.split(".")[1]!, "base64url").toString()) as Record<
    string,
    number
  >;
  expect((exp! - iat!) / 86_400).toBeCloseTo(37, 3); // 7 days of signing and 30 of holding, not a year

  const published = async () => (await (await fetch(`${core.url}/.well-known/jwks.json`)).json()) as JSONWebKeySet;
  const verifies = async () =>
    jwtVerify(answer.jwt, createLocalJWKSet(await published()), { currentDate: new Date(wall) }).then(
      () => true,
      () => false,
    );
  const kids = async () => (await published()).keys.map((key) => key.kid);
  await vi.waitFor(async () => expect(await kids()).toHaveLength(3)); // static, dynamic, and its successor
  const seen = new Set(await kids());
  for (let week = 0; week < 5; week++) {
    expect(await verifies()).toBe(true);
    advance(7 * DAY);
    // The core continues to rotate: it creates the next successor at its next poll, a second later.
    await vi.waitFor(async () => expect((await kids()).some((kid) => !seen.has(kid))).toBe(true), { timeout: 5_000 });
    for (const kid of await kids()) seen.add(kid);
  }
  expect(seen.size).toBe(3 + 5);
  advance(exp! * 1000 - 1 - wall);
  expect(await verifies()).toBe(true);
  advance(1);
  expect(await verifies()).toBe(false);
  const { kid } = JSON.parse(Buffer.from(answer.jwt.split(".")[0]!, "base64url").toString()) as { kid: string };
  await vi.waitFor(async () => expect(await kids()).not.toContain(kid), { timeout: 5_000 });
});
