import { randomBytes } from "node:crypto";
import { link, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes a file atomically, readable only by its owner: writes and syncs a temporary file in the same directory, then
 * moves it. After a crash the file is either complete or unchanged, and a failure leaves no temporary file.
 *
 * @param replace whether to replace an existing file
 * @throws system errors; EEXIST if the file exists and `replace` is false
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
    else await link(draft, path); // never replaces a file
  } finally {
    await unlink(draft).catch(() => {}); // already renamed, or never created
  }
  await syncDirectory(dirname(path));
}

/** Makes the new directory entry survive a power failure. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
