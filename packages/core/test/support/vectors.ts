import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

// Public test vectors lie beside the repository and are not part of it.
const beside = fileURLToPath(new URL("../../../../../shared/vectors", import.meta.url));
const folder = process.env["COUNTERSIGN_VECTORS"] ?? beside;

/** What is pushed through every field where the public list is missing. */
const FEW: readonly string[] = ["<script>alert(1)</script>", "' OR 1=1 -- 1", "../../etc/passwd", "${7*7}", "田中さん"];

/** The big list of naughty strings; a few of our own, with a printed note, where it is missing. */
export function naughtyStrings(): readonly string[] {
  const file = path.join(folder, "blns", "blns.json");
  if (!existsSync(file)) {
    process.stderr.write("note: no test vectors (blns): set COUNTERSIGN_VECTORS to their folder to run them\n");
    return FEW;
  }
  return JSON.parse(readFileSync(file, "utf8")) as string[];
}
