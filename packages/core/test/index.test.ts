import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { randomBytes } from "node:crypto";
import { chmod, readdir, rename, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { embedCore, startCore, StartupError, type KeyVault } from "../src/index.ts";
import { ADMIN_KEY, expectText, partsOf, startTestCore } from "./support/core.ts";
import { recordedLog } from "./support/log.ts";
import { openDatabase } from "./support/sqlite.ts";
import { tempDir } from "./support/temp-dir.ts";

const masterKey = () => ({ COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url") });

/** Keeps private keys to itself and returns handles after a delay, as a network service does. */
function standInForKms(masterKeyId = "kms-key/1"): { vault: KeyVault; calls(): { sealed: number; opened: number } } {
  const kept = new Map<string, { plaintext: Buffer; appId: string; kid: string }>();
  const latency = () => new Promise((resolve) => setTimeout(resolve, 5));
  let opened = 0;
  const vault: KeyVault = {
    masterKeyId,
    has: (id) => id === masterKeyId,
    reload: async () => {},
    async seal(plaintext, { appId, kid }) {
      const handle = randomBytes(16);
      kept.set(handle.toString("hex"), { plaintext: Buffer.from(plaintext), appId, kid });
      await latency();
      return { sealedPrivateKey: handle, masterKeyId };
    },
    async open(handle, { appId, kid }) {
      await latency();
      const found = kept.get(Buffer.from(handle).toString("hex"));
      if (found?.appId !== appId || found.kid !== kid) throw new Error("no such ciphertext in this context");
      opened++;
      return Buffer.from(found.plaintext);
    },
  };
  return { vault, calls: () => ({ sealed: kept.size, opened }) };
}

describe("startCore", () => {
  it("listens on its address until it is closed", async () => {
    const core = await startCore({ port: 0, dataDir: await tempDir() }, { environment: {} });
    expect(core.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect(await (await fetch(`${core.url}/hello`)).text()).toBe("Hello");
    await core.close();
    await expect(fetch(`${core.url}/hello`)).rejects.toThrow();
  });

  it("lets requests in flight finish when it is closed (R18)", async () => {
    const core = await startTestCore();
    const received = requestsReceived(40);
    const answers = Promise.all(Array.from({ length: 40 }, () => core.post()));
    await received;
    await core.close();
    expect((await answers).map((answer) => answer.status)).toEqual(Array(40).fill(200));
  });

  it("has the same keys after a restart, and two cores share the keys of one directory", async () => {
    const dataDir = await tempDir();
    const first = await startTestCore({ dataDir });
    const kid = partsOf(await first.mint()).header["kid"];
    const second = await startTestCore({ dataDir });
    expect(await second.keys()).toEqual(await first.keys());
    await first.close();
    await second.close();
    const third = await startTestCore({ dataDir });
    expect(partsOf(await third.mint()).header["kid"]).toBe(kid);
  });

  it("rejects a port in use with advice, and leaves the directory usable", async () => {
    const dataDir = await tempDir();
    const blocker = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => blocker.once("listening", resolve));
    const { port } = blocker.address() as AddressInfo;
    const starting = startCore({ port, dataDir }, { environment: {} });
    await expect(starting).rejects.toThrow(StartupError);
    await expect(starting).rejects.toThrow(/is in use.*--port/);
    await new Promise((resolve) => blocker.close(resolve));
    await (await startCore({ port, dataDir }, { environment: {} })).close();
  });

  it("does not start without an API key on a public address, and writes nothing then (S7)", async () => {
    const dataDir = join(await tempDir(), "data");
    await expect(startCore({ host: "0.0.0.0", port: 0, dataDir }, { environment: {} })).rejects.toThrow(StartupError);
    await expect(readdir(dataDir)).rejects.toThrow(/ENOENT/);
  });

  it("listens on other addresses with an API key (S7)", async () => {
    const core = await startTestCore({ host: "0.0.0.0" });
    expect((await core.post()).status).toBe(200);
    expectText(await core.post({}, { apiKey: null }), 401, "Invalid API key");
  });
});

/** Resolves when servers in this process have received this many requests. */
function requestsReceived(count: number): Promise<void> {
  return new Promise((resolve) => {
    let received = 0;
    const onRequest = () => {
      if (++received < count) return;
      unsubscribe("http.server.request.start", onRequest);
      resolve();
    };
    subscribe("http.server.request.start", onRequest);
  });
}

describe("the master key (S8)", () => {
  it("from the environment is used, and no file is created", async () => {
    const dataDir = await tempDir();
    const environment = masterKey();
    await (await embedCore({ dataDir }, { environment })).close();
    expect((await readdir(dataDir)).filter((name) => name.endsWith(".key"))).toEqual([]);
    await (await embedCore({ dataDir }, { environment })).close();
  });

  it("is rejected if it is another one: no key is decrypted wrongly, and none is created", async () => {
    const dataDir = await tempDir();
    const environment = masterKey();
    const core = await embedCore({ dataDir }, { environment });
    const keysOf = async (one: typeof core) =>
      (await one.fetch(new Request("http://core/.well-known/jwks.json"))).text();
    const keys = await keysOf(core);
    await core.close();
    const other = masterKey();
    const error = await embedCore({ dataDir }, { environment: other }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(StartupError);
    expect((error as Error).message).toMatch(
      /keys are encrypted with master key [0-9a-f]{16}, but the configured one is [0-9a-f]{16}/,
    );
    for (const { COUNTERSIGN_MASTER_KEY: secret } of [environment, other])
      expect((error as Error).message).not.toContain(secret);
    const again = await embedCore({ dataDir }, { environment });
    expect(JSON.parse(await keysOf(again)).keys[0]).toEqual(JSON.parse(keys).keys[0]);
    await again.close();
  });

  it("from a configured file is used and reloaded while the core runs; that file is never created", async () => {
    const [dataDir, place] = [await tempDir(), await tempDir()];
    const file = join(place, "mounted-secret");
    const environment = { COUNTERSIGN_MASTER_KEY_FILE: file };
    await expect(embedCore({ dataDir }, { environment })).rejects.toThrow(/mounted-secret is missing/);
    expect(await readdir(place)).toEqual([]);
    const line = () => `${randomBytes(32).toString("base64url")}\n`;
    const [old, next] = [line(), line()];
    await writeFile(file, old, { mode: 0o644 });
    const log = recordedLog();
    const core = await startTestCore({ dataDir }, { environment, log });
    await core.mint();
    await writeFile(file, next + old);
    const resealed = await core.call("/admin/v1/reseal", { method: "POST", apiKey: ADMIN_KEY });
    expect(resealed.status).toBe(200);
    await core.close();
    await writeFile(file, next); // the only file
    await (await startTestCore({ dataDir }, { environment, log })).mint();
    expect((await readdir(dataDir)).filter((name) => name.endsWith(".key"))).toEqual([]);
    expect(log.lines.filter((text) => /^(?:warn|error)/.test(text))).toEqual([]);
  });

  it("in a file that other users can read is used, with a warning", async () => {
    const dataDir = await tempDir();
    const log = recordedLog();
    await (await embedCore({ dataDir }, { environment: {}, log })).close();
    expect(log.lines.filter((line) => line.startsWith("warn"))).toEqual([]);
    await chmod(join(dataDir, "master.key"), 0o644);
    await (await embedCore({ dataDir }, { environment: {}, log })).close();
    expect(log.lines.filter((line) => line.startsWith("warn"))).toEqual([
      expect.stringMatching(/master key file is readable by other users.*master\.key.*chmod 600/s),
    ]);
  });

  it("can belong to a key management service: the given vault encrypts and decrypts every key, without a master key", async () => {
    const dataDir = await tempDir();
    const kms = standInForKms();
    const core = await startTestCore({ dataDir }, { vault: kms.vault });
    const tokens = [await core.mint(), await core.mint({ useStaticSigningKey: false })];
    await vi.waitFor(() => expect(kms.calls()).toEqual({ sealed: 6, opened: 6 }), { timeout: 5_000 }); // the next key, too
    await core.close();
    expect((await readdir(dataDir)).filter((name) => name.endsWith(".key"))).toEqual([]);
    const again = await startTestCore({ dataDir }, { vault: kms.vault });
    expect(partsOf(await again.mint()).header["kid"]).toBe(partsOf(tokens[0]!).header["kid"]);
    await again.close();
    const refused = embedCore({ dataDir }, { vault: standInForKms("other-key/1").vault, environment: {} });
    await expect(refused).rejects.toThrow(
      /encrypted with master key kms-key\/1, but the configured one is other-key\/1/,
    );
    const database = "postgres://127.0.0.1:1/keys";
    await expect(embedCore({ database }, { vault: kms.vault, environment: {} })).rejects.toThrow(/connection refused/);
  });

  it("is not recreated if its file is missing", async () => {
    const dataDir = await tempDir();
    await (await embedCore({ dataDir }, { environment: {} })).close();
    await rename(join(dataDir, "master.key"), join(dataDir, "moved"));
    await expect(embedCore({ dataDir }, { environment: {} })).rejects.toThrow(/master\.key is missing/);
    expect(await readdir(dataDir)).not.toContain("master.key");
    await rename(join(dataDir, "moved"), join(dataDir, "master.key"));
    await (await embedCore({ dataDir }, { environment: {} })).close();
  });
});

describe("embedCore", () => {
  it("responds without a socket and without a key, for any Host, and ignores the settings of a listening core", async () => {
    const environment = {
      COUNTERSIGN_API_KEYS: "api-key-of-somebody-else",
      COUNTERSIGN_PORT: "nonsense",
      COUNTERSIGN_HOST: "0.0.0.0",
    };
    const core = await embedCore({ dataDir: await tempDir() }, { environment });
    const body = JSON.stringify({ payload: {}, algorithm: "RS256", jwksDomain: "https://a.test", validity: 60 });
    const answer = await core.fetch(new Request("http://anything.test/recipe/jwt", { method: "POST", body }));
    expect(await answer.json()).toEqual({ status: "OK", jwt: expect.stringMatching(/^eyJ/) });
    const admin = await core.fetch(new Request("http://anything.test/admin/v1/status"));
    expect(admin.status).toBe(401);
    await core.close();
  });
});

describe("with a damaged store (R2, R3)", () => {
  it("writing fails without an exception's text, while tokens and key sets remain available (H9)", async () => {
    const log = recordedLog();
    const core = await startTestCore({}, { log });
    const before = await core.keys();
    const database = await openDatabase(join(core.dataDir, "countersign.db"));
    database.exec("alter table core_state rename to core_state_away");
    const create = { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "shop" } };
    expectText(await core.call("/recipe/multitenancy/app/v2", create), 500, "Internal Error");
    expect((await core.post()).status).toBe(200);
    expect(await core.keys()).toEqual(before);
    expect(log.lines.join("\n")).toContain("core_state"); // The log has the cause, the response does not.
    database.exec("alter table core_state_away rename to core_state");
    database.close();
  });

  it("writing responds with 503 if the lock is not free within 5 s, and everything else works in the meantime", async () => {
    const core = await startTestCore();
    const database = await openDatabase(join(core.dataDir, "countersign.db"));
    database.exec("begin immediate");
    const create = { method: "PUT", apiKey: ADMIN_KEY, body: { appId: "shop" } };
    const began = performance.now();
    const creating = core.call("/recipe/multitenancy/app/v2", create);
    expectText(await core.call("/hello", { apiKey: null }), 200, "Hello");
    expect((await core.post()).status).toBe(200);
    expect(performance.now() - began).toBeLessThan(2_000);
    expectText(await creating, 503, "Service Unavailable");
    const waited = performance.now() - began;
    expect([waited > 4_900, waited < 8_000]).toEqual([true, true]);
    database.exec("rollback");
    database.close();
    expect((await core.call("/recipe/multitenancy/app/v2", create)).json).toEqual({ status: "OK", createdNew: true });
  });
});
