import { randomBytes } from "node:crypto";
import { link, open, readFile, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { Command } from "commander";
import { restoreBackup } from "../../maintenance.ts";
import { readBackup, type Backup } from "../../use-cases/backup.ts";
import { AdminError, administer, localTarget, tellErrors, withTarget, type AdminTarget } from "../admin-client.ts";
import { createLogger } from "../logger.ts";
import { print } from "../output.ts";

export function backupCommand(): Command {
  return withTarget(new Command("backup").description("Write everything of a store, keys still sealed, to one file."))
    .argument("<file>", "file to write, for its owner only")
    .option("--force", "replace the file where it exists")
    .action(backup);
}

export function restoreCommand(): Command {
  return withTarget(
    new Command("restore").description("Put a backup into a store of this machine, and replace every signer."),
  )
    .argument("<file>", "file that 'countersign backup' wrote")
    .option("--force", "replace everything the store has, where it has something")
    .action(restore);
}

function backup(path: string, flags: AdminTarget & { force?: boolean }): Promise<void> {
  return administer(flags, async (client) => {
    const document = await client.call<Backup>("GET", "/backup");
    await writeWhole(path, `${JSON.stringify(document, undefined, 2)}\n`, flags.force === true);
    print(`wrote ${document.keys.length} key(s) of ${document.apps.length} app(s) to ${path}`);
    const ids = [...new Set(document.keys.map((key) => key.masterKeyId))].join(", ");
    process.stderr.write(
      `The master key is not in it, and without that no key in it opens: keep ${ids} elsewhere ` +
        "(COUNTERSIGN_MASTER_KEY, or the file master.key beside the database).\n",
    );
  });
}

function restore(path: string, flags: AdminTarget & { force?: boolean }): Promise<void> {
  return tellErrors(async () => {
    const target = localTarget(flags);
    const text = await readFile(path, "utf8").catch((error: Error) => {
      throw new AdminError(`cannot read ${path}: ${error.message}`);
    });
    const read = readBackup(text);
    if (!read.ok) throw new AdminError(`${path} ${read.problem}`);
    const restored = await restoreBackup(read.backup, flags.force === true, target, createLogger());
    if (!restored.ok) throw new AdminError(restored.problem);
    const { apps, keys, generation } = restored.value;
    print(`restored ${keys} key(s) of ${apps} app(s) from ${read.backup.createdAt}, generation ${generation}`);
  });
}

/** Whoever reads the file reads all of it, and a crash leaves it whole or not there. */
async function writeWhole(path: string, text: string, replace: boolean): Promise<void> {
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    const file = await open(draft, "wx", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    try {
      if (replace) await rename(draft, path);
      else await link(draft, path); // which never replaces anything
    } finally {
      await unlink(draft).catch(() => {}); // renamed already
    }
    const directory = await open(dirname(path), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") throw new AdminError(`${path} exists: --force replaces it`);
    throw new AdminError(`cannot write ${path}: ${message}`);
  }
}
