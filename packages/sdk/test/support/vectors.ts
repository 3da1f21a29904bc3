import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

// Public test vectors lie beside the repository and are not part of it.
const beside = fileURLToPath(new URL("../../../../../shared/vectors", import.meta.url));
const folder = process.env["COUNTERSIGN_VECTORS"] ?? beside;

function hasVectors(): boolean {
  return existsSync(path.join(folder, "README.md"));
}

/** Names of the files of a folder of vectors; empty, with a printed note, where there are no vectors. */
export function vectorFiles(name: string): string[] {
  if (!hasVectors()) {
    noteMissing(name);
    return [];
  }
  return readdirSync(path.join(folder, name)).filter((file) => file.endsWith(".json"));
}

export function readVectorBytes(name: string): Buffer {
  return readFileSync(path.join(folder, name));
}

/** A JSON file of vectors; undefined, with a printed note, where there are no vectors. */
export function readVectors<T>(name: string): T | undefined {
  if (!hasVectors()) {
    noteMissing(name);
    return undefined;
  }
  return JSON.parse(readFileSync(path.join(folder, name), "utf8")) as T;
}

function noteMissing(name: string): void {
  process.stderr.write(`note: no test vectors (${name}): set COUNTERSIGN_VECTORS to their folder to run them\n`);
}
