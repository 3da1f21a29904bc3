import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  loadOrCreateMasterKeys,
  masterKeyPath,
  parseMasterKey,
  parseMasterKeys,
  readMasterKeys,
  writeMasterKeys,
} from "../../../src/adapters/vault/master-key.ts";
import { StartupError } from "../../../src/ports/startup-error.ts";
import { tempDir } from "../../support/temp-dir.ts";

const FILE = "master.key";

const loadOrCreateMasterKey = async (dir: string, expectedId: string | undefined): Promise<Uint8Array> => {
  const keys = await loadOrCreateMasterKeys(dir, expectedId);
  expect(keys).toHaveLength(1);
  return keys[0]!;
};

describe("loadOrCreateMasterKeys", () => {
  it("creates a file of 32 random bytes for its owner only, and no other file (S8)", async () => {
    const dir = await tempDir();
    const key = await loadOrCreateMasterKey(dir, undefined);
    expect(key).toHaveLength(32);
    expect(await readdir(dir)).toEqual([FILE]);
    expect((await stat(join(dir, FILE))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(dir, FILE), "utf8")).toBe(`${Buffer.from(key).toString("base64url")}\n`);
    expect(Buffer.from(key)).not.toEqual(Buffer.from(await loadOrCreateMasterKey(await tempDir(), undefined)));
  });

  it("reads an existing file, with or without an expected ID, and does not change it", async () => {
    const dir = await tempDir();
    const key = randomBytes(32);
    await writeFile(join(dir, FILE), `  ${key.toString("base64url")}\n\n`);
    for (const expected of [undefined, "0123456789abcdef"]) {
      expect(Buffer.from(await loadOrCreateMasterKey(dir, expected))).toEqual(key);
    }
    expect(await readdir(dir)).toEqual([FILE]);
  });

  it("gives concurrent creators the same key", async () => {
    const dir = await tempDir();
    const keys = await Promise.all(Array.from({ length: 16 }, () => loadOrCreateMasterKey(dir, undefined)));
    expect(new Set(keys.map((key) => Buffer.from(key).toString("hex"))).size).toBe(1);
    expect(await readdir(dir)).toEqual([FILE]);
  });

  it("rejects a missing file that stored keys need, and does not create it", async () => {
    const dir = await tempDir();
    const refusal = loadOrCreateMasterKey(dir, "0123456789abcdef");
    await expect(refusal).rejects.toThrow(StartupError);
    await expect(refusal).rejects.toThrow(/0123456789abcdef.*missing.*put the file back.*COUNTERSIGN_MASTER_KEY/);
    expect(await readdir(dir)).toEqual([]);
  });

  for (const [what, text] of [
    ["empty", ""],
    ["truncated", randomBytes(20).toString("base64url")],
    ["not base64url", "!".repeat(43)],
    ["padded", randomBytes(32).toString("base64")],
  ] as const) {
    it(`rejects a file that is ${what}, keeps it, and prints nothing of it (S6)`, async () => {
      const dir = await tempDir();
      await writeFile(join(dir, FILE), text);
      const error = await loadOrCreateMasterKey(dir, undefined).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(StartupError);
      expect((error as Error).message).toMatch(/expected a master key/);
      if (text !== "") expect((error as Error).message).not.toContain(text);
      expect(await readFile(join(dir, FILE), "utf8")).toBe(text);
    });
  }

  it("explains why a path cannot be read or written", async () => {
    const dir = await tempDir();
    await mkdir(join(dir, FILE));
    await expect(loadOrCreateMasterKey(dir, undefined)).rejects.toThrow(/cannot read the master key/);
    await expect(loadOrCreateMasterKey(join(dir, "missing"), undefined)).rejects.toThrow(
      /cannot write the master key .*no such file or directory/,
    );
  });
});

describe("several master keys in a file", () => {
  it("are read in order, and replaced atomically, for their owner only", async () => {
    const dir = await tempDir();
    const path = masterKeyPath(dir);
    const keys = [randomBytes(32), randomBytes(32), randomBytes(32)];
    await writeFile(path, "old\n", { mode: 0o644 });
    await writeMasterKeys(path, keys);
    expect((await loadOrCreateMasterKeys(dir, undefined)).map((key) => Buffer.from(key))).toEqual(keys);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(dir)).toEqual([FILE]);
    await writeMasterKeys(path, keys.slice(1));
    expect((await readMasterKeys(path))!.map((key) => Buffer.from(key))).toEqual(keys.slice(1));
  });

  it("are rejected if one of them is invalid", async () => {
    const dir = await tempDir();
    await writeFile(masterKeyPath(dir), `${randomBytes(32).toString("base64url")}\nnonsense\n`);
    await expect(loadOrCreateMasterKeys(dir, undefined)).rejects.toThrow(/expected a master key/);
    expect(parseMasterKeys(" , ", ",")).toBeUndefined();
  });

  it("cannot be written if the directory does not exist", async () => {
    const path = masterKeyPath(join(await tempDir(), "missing"));
    await expect(writeMasterKeys(path, [randomBytes(32)])).rejects.toThrow(/cannot write the master key/);
    expect(await readMasterKeys(path)).toBeUndefined();
  });
});

describe("parseMasterKey", () => {
  it("accepts only 32 bytes of canonical base64url, with surrounding spaces", () => {
    const key = randomBytes(32);
    const text = key.toString("base64url");
    expect(Buffer.from(parseMasterKey(` ${text}\n`)!)).toEqual(key);
    const last = text.at(-1)!;
    const twin = String.fromCharCode(last.charCodeAt(0) + 1); // another encoding of the same bytes
    for (const wrong of [
      "",
      text.slice(1),
      `${text}A`,
      `${text}=`,
      text.slice(0, -1) + twin,
      `${text.slice(0, 20)} ${text.slice(20)}`,
    ]) {
      expect(parseMasterKey(wrong)).toBeUndefined();
    }
  });
});
