import { randomBytes } from "node:crypto";
import { link, open, readFile, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { decodeBase64url } from "countersign/protocol";
import { reasonOf, StartupError } from "../startup-error.ts";

const KEY_BYTES = 32;
const FILE_NAME = "master.key";

/** @returns the 32 bytes of a configured master key, or undefined for any other text */
export function parseMasterKey(text: string): Uint8Array | undefined {
  const bytes = decodeBase64url(text.trim());
  return bytes?.length === KEY_BYTES ? bytes : undefined;
}

/** Several master keys, the current one first. @returns undefined where one of them is none, or there is none */
export function parseMasterKeys(text: string, separator: "," | "\n"): readonly Uint8Array[] | undefined {
  const parts = text.split(separator).filter((part) => part.trim() !== "");
  const keys = parts.map(parseMasterKey);
  return keys.length > 0 && !keys.includes(undefined) ? (keys as Uint8Array[]) : undefined;
}

export function masterKeyPath(dataDir: string): string {
  return join(dataDir, FILE_NAME);
}

/**
 * The master keys beside an embedded database, one a line: the first one seals, any of them opens.
 *
 * @param expectedId the master key that stored keys are sealed under; with one, a missing file is not replaced
 * @throws StartupError
 */
export async function loadOrCreateMasterKeys(
  dataDir: string,
  expectedId: string | undefined,
): Promise<readonly Uint8Array[]> {
  const path = masterKeyPath(dataDir);
  const existing = await readMasterKeys(path);
  if (existing !== undefined) return existing;
  if (expectedId !== undefined) {
    throw new StartupError(
      `the database holds keys sealed under master key ${expectedId}, but ${path} is missing: ` +
        "put that file back, or set COUNTERSIGN_MASTER_KEY",
    );
  }
  await createMasterKey(path).catch((error: unknown) => {
    throw cannotWrite(path, error);
  });
  return (await readMasterKeys(path))!;
}

/** @returns undefined where there is no file */
export async function readMasterKeys(path: string): Promise<readonly Uint8Array[] | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StartupError(`cannot read the master key ${path}: ${reasonOf(error)}`, { cause: error });
  }
  const keys = parseMasterKeys(text, "\n");
  if (keys === undefined) {
    throw new StartupError(`${path} is not a master key (32 bytes, base64url): put the original file back`);
  }
  return keys;
}

/**
 * Replaces the file whole: whoever reads it meanwhile, or after a crash, reads the old keys or the new ones.
 *
 * @throws StartupError
 */
export async function writeMasterKeys(path: string, keys: readonly Uint8Array[]): Promise<void> {
  try {
    const draft = await writeDraft(path, keys);
    await rename(draft, path).catch(async (error: unknown) => {
      await unlink(draft);
      throw error;
    });
    await syncDirectory(dirname(path));
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

/** Written and synced under another name, then linked: whoever reads it reads all of it, and of racing processes one wins. */
async function createMasterKey(path: string): Promise<void> {
  const draft = await writeDraft(path, [randomBytes(KEY_BYTES)]);
  try {
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(draft);
  }
  await syncDirectory(dirname(path));
}

/** A file beside the real one, on disk and for its owner only. @returns its path */
async function writeDraft(path: string, keys: readonly Uint8Array[]): Promise<string> {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(keys.map((key) => `${Buffer.from(key).toString("base64url")}\n`).join(""));
    await file.sync();
  } finally {
    await file.close();
  }
  return draft;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function cannotWrite(path: string, error: unknown): StartupError {
  return new StartupError(`cannot write the master key ${path}: ${reasonOf(error)}`, { cause: error });
}
