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
  reportErrors,
  type AdminTarget,
  type LocalTarget,
} from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { examples, withTarget } from "../terminal/app-command.ts";
import { createLogger } from "../terminal/logger.ts";
import { countOf, print } from "../terminal/output.ts";

export function backupCommand(cli: CliProcess): Command {
  return withTarget(new Command("backup").description("Back up the store to a file (private keys remain encrypted)"))
    .argument("<file>", "output file, readable only by its owner")
    .option("--force", "overwrite an existing file")
    .addHelpText(
      "after",
      `
The backup doesn't contain the master key. Save the key separately: it is in
COUNTERSIGN_MASTER_KEY, or in the file master.key in the data directory.
${examples("countersign backup countersign.backup.json", "countersign backup countersign.backup.json --force")}`,
    )
    .action(backup(cli));
}

export function restoreCommand(cli: CliProcess): Command {
  return withTarget(new Command("restore").description("Restore a backup and replace all active signing keys"))
    .argument("<file>", "file that 'countersign backup' wrote")
    .option("--force", "overwrite a non-empty store")
    .addHelpText(
      "after",
      `
Changes made after the backup are lost: keys, revocations, apps, services and policies.
Credentials revoked since then are valid again, and tokens signed by lost keys are rejected.
The next core that uses the store replaces all active signing keys.
${examples("countersign restore countersign.backup.json", "countersign restore countersign.backup.json --force")}`,
    )
    .action(restore(cli));
}

const backup = (cli: CliProcess) => (path: string, flags: AdminTarget & { force?: boolean }) =>
  administer(cli, flags, async (client) => {
    const document = await client.call<Backup>("GET", "/backup");
    await write(path, `${JSON.stringify(document, undefined, 2)}\n`, flags.force === true);
    print(cli, `wrote ${countOf(document.keys.length, "key")} of ${countOf(document.apps.length, "app")} to ${path}`);
    const ids = [...new Set(document.keys.map((key) => key.masterKeyId))].join(", ");
    cli.stderr.write(
      `The backup does not contain master key ${ids}, which is required to restore it. Save that key separately ` +
        "(COUNTERSIGN_MASTER_KEY, or the file master.key next to the database).\n",
    );
  });

const restore = (cli: CliProcess) => (path: string, flags: AdminTarget & { force?: boolean }) =>
  reportErrors(cli, async () => {
    const target = localTarget(cli, flags);
    const text = await readFile(path, "utf8").catch((error: Error) => {
      throw new AdminError(`cannot read ${path}: ${error.message}`);
    });
    const read = readBackup(text);
    if (!read.ok) throw new AdminError(`${path}: ${read.problem}`);
    const restored = await restoreBackup(read.backup, flags.force === true, target, createLogger(cli), cli.env);
    if (!restored.ok) throw new AdminError(restored.problem);
    const { apps, keys, generation } = restored.value;
    print(
      cli,
      `restored ${countOf(keys, "key")} of ${countOf(apps, "app")} from ${read.backup.createdAt} to ${nameOf(target)}, generation ${generation}`,
    );
  });

async function write(path: string, text: string, replace: boolean): Promise<void> {
  await writeFileAtomically(path, text, replace).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") throw new AdminError(`${path} already exists; pass --force to overwrite it`);
    throw new AdminError(`cannot write ${path}: ${reasonOf(error)}`);
  });
}

/** Names the restored store, because it can come from the environment. Contains no password. */
function nameOf(target: LocalTarget): string {
  return "dataDir" in target ? target.dataDir : placeOf(target.database);
}
