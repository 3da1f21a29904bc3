import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

// Public test vectors are not part of the repository. test/support/global-setup.ts reports them missing, once per run.
const defaultFolder = fileURLToPath(new URL("../../../../../shared/vectors", import.meta.url));
const folder = process.env["COUNTERSIGN_VECTORS"] ?? defaultFolder;

/** Used if the public list is missing. */
const FEW: readonly string[] = ["<script>alert(1)</script>", "' OR 1=1 -- 1", "../../etc/passwd", "${7*7}", "田中さん"];

/** Returns the big list of naughty strings, or a few of our own if it is missing. */
export function naughtyStrings(): readonly string[] {
  const file = path.join(folder, "blns", "blns.json");
  if (!existsSync(file)) return FEW;
  return JSON.parse(readFileSync(file, "utf8")) as string[];
}
