import { randomBytes } from "node:crypto";
import { link, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes a file for its owner only, of which nobody ever reads a part: beside it under another name, to the disk, and
 * then into place in one step. A crash leaves it whole or as it was, and a failure leaves nothing behind.
 *
 * @param replace whether one that is there is replaced
 * @throws the system's error; EEXIST where one is there and stays
 */
export async function writeFileAtomically(path: string, text: string, replace: boolean): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    if (replace) await rename(draft, path);
    else await link(draft, path); // which never replaces anything
  } finally {
    await unlink(draft).catch(() => {}); // renamed, or never made
  }
  await syncDirectory(dirname(path));
}

/** What is in it by now is in it after a power cut, too. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
