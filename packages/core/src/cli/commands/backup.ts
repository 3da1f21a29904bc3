import { readFile } from "node:fs/promises";
import { Command } from "commander";
import { placeOf } from "../../adapters/postgres/database-url.ts";
import { writeFileAtomically } from "../../adapters/atomic-file.ts";
import { restoreBackup } from "../../composition/offline.ts";
import { reasonOf } from "../../ports/startup-error.ts";
import { readBackup, type Backup } from "../../use-cases/backup/backup.ts";
import {
  AdminError,
  administer,
  localTarget,
  tellErrors,
  type AdminTarget,
  type LocalTarget,
} from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { withTarget } from "../terminal/app-command.ts";
import { createLogger } from "../terminal/logger.ts";
import { print } from "../terminal/output.ts";

export function backupCommand(cli: CliProcess): Command {
  return withTarget(new Command("backup").description("Write everything of a store, keys still sealed, to one file."))
    .argument("<file>", "file to write, for its owner only")
    .option("--force", "replace the file where it exists")
    .action(backup(cli));
}

export function restoreCommand(cli: CliProcess): Command {
  return withTarget(
    new Command("restore").description("Put a backup into a store of this machine, and replace every signer."),
  )
    .argument("<file>", "file that 'countersign backup' wrote")
    .option("--force", "replace everything the store has, where it has something")
    .action(restore(cli));
}

const backup = (cli: CliProcess) => (path: string, flags: AdminTarget & { force?: boolean }) =>
  administer(cli, flags, async (client) => {
    const document = await client.call<Backup>("GET", "/backup");
    await write(path, `${JSON.stringify(document, undefined, 2)}\n`, flags.force === true);
    print(cli, `wrote ${document.keys.length} key(s) of ${document.apps.length} app(s) to ${path}`);
    const ids = [...new Set(document.keys.map((key) => key.masterKeyId))].join(", ");
    cli.stderr.write(
      `The master key is not in it, and without that no key in it opens: keep ${ids} elsewhere ` +
        "(COUNTERSIGN_MASTER_KEY, or the file master.key beside the database).\n",
    );
  });

const restore = (cli: CliProcess) => (path: string, flags: AdminTarget & { force?: boolean }) =>
  tellErrors(cli, async () => {
    const target = localTarget(cli, flags);
    const text = await readFile(path, "utf8").catch((error: Error) => {
      throw new AdminError(`cannot read ${path}: ${error.message}`);
    });
    const read = readBackup(text);
    if (!read.ok) throw new AdminError(`${path} ${read.problem}`);
    const restored = await restoreBackup(read.backup, flags.force === true, target, createLogger(cli), cli.env);
    if (!restored.ok) throw new AdminError(restored.problem);
    const { apps, keys, generation } = restored.value;
    print(
      cli,
      `restored ${keys} key(s) of ${apps} app(s) of ${read.backup.createdAt} into ${nameOf(target)}, generation ${generation}`,
    );
  });

async function write(path: string, text: string, replace: boolean): Promise<void> {
  await writeFileAtomically(path, text, replace).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") throw new AdminError(`${path} exists: --force replaces it`);
    throw new AdminError(`cannot write ${path}: ${reasonOf(error)}`);
  });
}

/** Whoever forgot to name a store learns which one it was. */
function nameOf(target: LocalTarget): string {
  return "dataDir" in target ? target.dataDir : placeOf(target.database);
}
