import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

// Public test vectors are not part of the repository. test/support/global-setup.ts reports them missing, once per run.
const defaultFolder = fileURLToPath(new URL("../../../../../shared/vectors", import.meta.url));
const folder = process.env["COUNTERSIGN_VECTORS"] ?? defaultFolder;

function hasVectors(): boolean {
  return existsSync(path.join(folder, "README.md"));
}

/** Returns the file names of a folder of vectors; empty without vectors. */
export function vectorFiles(name: string): string[] {
  if (!hasVectors()) return [];
  return readdirSync(path.join(folder, name)).filter((file) => file.endsWith(".json"));
}

export function readVectorBytes(name: string): Buffer {
  return readFileSync(path.join(folder, name));
}

/** Returns a JSON file of vectors; undefined without vectors. */
export function readVectors<T>(name: string): T | undefined {
  if (!hasVectors()) return undefined;
  return JSON.parse(readFileSync(path.join(folder, name), "utf8")) as T;
}
