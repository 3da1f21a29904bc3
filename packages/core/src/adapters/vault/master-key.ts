import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeBase64url } from "countersign/protocol";
import { reasonOf, StartupError } from "../../ports/startup-error.ts";
import { writeFileAtomically } from "../atomic-file.ts";

const KEY_BYTES = 32;
const FILE_NAME = "master.key";

/** @returns the 32 bytes of a configured master key, or undefined for any other text */
export function parseMasterKey(text: string): Uint8Array | undefined {
  const bytes = decodeBase64url(text.trim());
  return bytes?.length === KEY_BYTES ? bytes : undefined;
}

/** Parses several master keys, the current one first. @returns undefined if one is invalid, or none is given */
export function parseMasterKeys(text: string, separator: "," | "\n"): readonly Uint8Array[] | undefined {
  const parts = text.split(separator).filter((part) => part.trim() !== "");
  const keys = parts.map(parseMasterKey);
  return keys.length > 0 && !keys.includes(undefined) ? (keys as Uint8Array[]) : undefined;
}

export function masterKeyPath(dataDir: string): string {
  return join(dataDir, FILE_NAME);
}

/**
 * Reads the master keys of an embedded store, one a line: the first encrypts, all decrypt. Creates the file if it is
 * missing and no stored key needs it.
 *
 * @param expectedId the master key that stored keys are encrypted with
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
      `master key ${expectedId}, which stored keys are encrypted with, not found: ${path} is missing; ` +
        "put the file back, or set COUNTERSIGN_MASTER_KEY",
    );
  }
  await createMasterKey(path).catch((error: unknown) => {
    throw cannotWrite(path, error);
  });
  return (await readMasterKeys(path))!;
}

/** @returns undefined if the file does not exist */
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
    throw new StartupError(`${path}: expected a master key (32 bytes, base64url); put the original file back`);
  }
  return keys;
}

/**
 * Writes the file atomically.
 *
 * @param replace whether to replace an existing file
 * @throws StartupError
 */
export async function writeMasterKeys(path: string, keys: readonly Uint8Array[], replace = true): Promise<void> {
  await writeFileAtomically(path, linesOf(keys), replace).catch((error: unknown) => {
    throw cannotWrite(path, error);
  });
}

/** If several processes race, one wins and all use its key. */
async function createMasterKey(path: string): Promise<void> {
  try {
    await writeFileAtomically(path, linesOf([randomBytes(KEY_BYTES)]), false);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

function linesOf(keys: readonly Uint8Array[]): string {
  return keys.map((key) => `${Buffer.from(key).toString("base64url")}\n`).join("");
}

function cannotWrite(path: string, error: unknown): StartupError {
  return new StartupError(`cannot write the master key ${path}: ${reasonOf(error)}`, { cause: error });
}
