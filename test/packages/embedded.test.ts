// A core inside the service's process, on a directory that processes share.
import { createCountersign } from "countersign";
import { readdir } from "node:fs/promises";
import { cp, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { Process, ROOT, startCoreProcess, temporaryDirectory } from "../support/processes.ts";

function service(dataDir: string) {
  const instance = createCountersign({
    appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
    supertokens: { connectionURI: `file:${dataDir}` },
  });
  onTestFinished(() => instance.close());
  return instance;
}

async function mint(instance: ReturnType<typeof service>, useStatic = true): Promise<string> {
  const answer = await instance.createJWT({ source: "microservice", service: "orders" }, 600, useStatic);
  if (answer.status !== "OK") throw new Error(answer.status);
  return answer.jwt;
}

test("connectionURI file: issues and verifies without a server, and another instance on the directory agrees", async () => {
  const dataDir = await temporaryDirectory();
  const one = service(dataDir);
  const two = service(dataDir);
  const [fromOne, fromTwo] = await Promise.all([mint(one), mint(two, false)]);
  expect(await two.createVerifier().verify(fromOne)).toMatchObject({ allowed: true });
  expect(await one.createVerifier().verify(fromTwo)).toMatchObject({ allowed: true });
  expect((await readdir(dataDir)).filter((name) => name.startsWith("master.key"))).toEqual(["master.key"]);
});

test("eight processes that start together on a new directory create one set of keys", async () => {
  const dataDir = await temporaryDirectory();
  const processes = Array.from(
    { length: 8 },
    () => new Process(["test/support/embedded-service.mjs"], { DATA_DIR: dataDir }),
  );
  const exits = await Promise.all(processes.map((process) => process.ended));
  for (const { code, stderr } of exits) expect([code, stderr]).toEqual([0, ""]);
  const answers = exits.map(
    ({ stdout }) => JSON.parse(stdout) as { token: string; dynamicToken: string; staticKids: string[] },
  );
  expect(new Set(answers.map(({ staticKids }) => staticKids.join()))).toHaveProperty("size", 1);

  const verifier = service(dataDir).createVerifier();
  for (const { token, dynamicToken } of answers) {
    expect(await verifier.verify(token)).toMatchObject({ allowed: true });
    expect(await verifier.verify(dynamicToken)).toMatchObject({ allowed: true });
  }
});

test("a listening core and an embedded one share a directory", async () => {
  const dataDir = await temporaryDirectory();
  const core = await startCoreProcess(dataDir);
  const token = await mint(service(dataDir));
  const remote = createCountersign({
    appInfo: { appName: "b", apiDomain: "localhost:1" },
    core: { connectionURI: core.url },
  });
  onTestFinished(() => remote.close());
  expect(await remote.createVerifier().verify(token)).toMatchObject({ allowed: true });
});

test("a process with an embedded core exits when its work is done", async () => {
  const { code, signal } = await new Process(["test/support/embedded-service.mjs"], {
    DATA_DIR: await temporaryDirectory(),
  }).ended;
  expect({ code, signal }).toEqual({ code: 0, signal: null });
});

test("without countersign-core installed, the error says what to install", async () => {
  const directory = await temporaryDirectory();
  const installed = join(directory, "node_modules", "countersign");
  await mkdir(installed, { recursive: true });
  await cp(join(ROOT, "packages/sdk/dist"), join(installed, "dist"), { recursive: true });
  await cp(join(ROOT, "packages/sdk/package.json"), join(installed, "package.json"));
  await writeFile(
    join(directory, "main.mjs"),
    `import { createCountersign } from "countersign";
     const instance = createCountersign({ appInfo: { appName: "a", apiDomain: "localhost" }, core: { connectionURI: "file:./x" } });
     await instance.createJWT({}).catch((error) => console.log(error.code, error.message));`,
  );
  const { stdout, stderr } = await new Process(["main.mjs"], {}, directory).ended;
  expect(stderr).toBe("");
  expect(stdout).toMatch(/core_not_installed .*npm install countersign-core/);
});

test("an embedded core that cannot start throws the cause", async () => {
  const instance = service("/dev/null/countersign");
  await expect(instance.createJWT({})).rejects.toThrow(/cannot create the data directory/);
});
