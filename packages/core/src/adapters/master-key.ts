import { randomBytes } from "node:crypto";
import { link, open, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { decodeBase64url } from "countersign/protocol";
import { reasonOf, StartupError } from "../startup-error.ts";

const KEY_BYTES = 32;
const FILE_NAME = "master.key";

/** @returns the 32 bytes of a configured master key, or undefined for any other text */
export function parseMasterKey(text: string): Uint8Array | undefined {
  const bytes = decodeBase64url(text.trim());
  return bytes?.length === KEY_BYTES ? bytes : undefined;
}

/**
 * The master key beside an embedded database.
 *
 * @param expectedId the master key that stored keys are sealed under; with one, a missing file is not replaced
 * @throws StartupError
 */
export async function loadOrCreateMasterKey(dataDir: string, expectedId: string | undefined): Promise<Uint8Array> {
  const path = join(dataDir, FILE_NAME);
  const existing = await readMasterKey(path);
  if (existing !== undefined) return existing;
  if (expectedId !== undefined) {
    throw new StartupError(
      `the database holds keys sealed under master key ${expectedId}, but ${path} is missing: ` +
        "put that file back, or set COUNTERSIGN_MASTER_KEY",
    );
  }
  await createMasterKey(dataDir, path).catch((error: unknown) => {
    throw new StartupError(`cannot write the master key ${path}: ${reasonOf(error)}`, { cause: error });
  });
  return (await readMasterKey(path))!;
}

async function readMasterKey(path: string): Promise<Uint8Array | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new StartupError(`cannot read the master key ${path}: ${reasonOf(error)}`, { cause: error });
  }
  const key = parseMasterKey(text);
  if (key === undefined) {
    throw new StartupError(`${path} is not a master key (32 bytes, base64url): put the original file back`);
  }
  return key;
}

/** Written and synced under another name, then linked: whoever reads it reads all of it, and of racing processes one wins. */
async function createMasterKey(dataDir: string, path: string): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  const file = await open(draft, "wx", 0o600);
  try {
    await file.writeFile(randomBytes(KEY_BYTES).toString("base64url") + "\n");
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    await unlink(draft);
  }
  const directory = await open(dataDir, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
