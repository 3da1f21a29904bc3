import { Command } from "commander";
import { masterKeysToForget, renewMasterKey } from "../../composition/offline.ts";
import type { Resealed } from "../../use-cases/keys/reseal-keys.ts";
import { AdminError, administer, localTarget, reportErrors, type AdminTarget } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { examples, withTarget } from "../terminal/app-command.ts";
import { confirm, countOf, print } from "../terminal/output.ts";

export function resealCommand(cli: CliProcess): Command {
  return withTarget(new Command("reseal").description("Re-encrypt all stored private keys with the current master key"))
    .option("--new-master-key", "first generate a new master key and delete the old one (embedded store only)")
    .option("--keep-old <file>", "with --new-master-key: save the old key to this file, for restoring earlier backups")
    .option("--yes", "skip the confirmation prompt")
    .addHelpText(
      "after",
      `
To replace COUNTERSIGN_MASTER_KEY without downtime:
  1. Restart every instance with OLD,NEW.
  2. Restart every instance with NEW,OLD.
  3. Run 'countersign keys reseal'.
  4. Restart every instance with NEW.
A COUNTERSIGN_MASTER_KEY_FILE has one key a line and is reread automatically, without a restart.
${examples("countersign keys reseal", "countersign keys reseal --new-master-key --keep-old old-master.key")}`,
    )
    .action(resealKeys(cli));
}

interface ResealFlags extends AdminTarget {
  newMasterKey?: boolean;
  keepOld?: string;
  yes?: boolean;
}

const resealKeys = (cli: CliProcess) => (flags: ResealFlags) => {
  if (flags.newMasterKey !== true) {
    return administer(cli, flags, async (client) => {
      show(cli, (await client.call<{ reseal: Resealed }>("POST", "/reseal")).reseal);
    });
  }
  return reportErrors(cli, async () => {
    const { keepOld, yes } = flags;
    const target = localTarget(cli, flags);
    const deleted = (await masterKeysToForget(target, cli.env)).join(", ");
    if (keepOld === undefined) {
      await confirm(
        cli,
        `This deletes master key ${deleted}. Earlier backups cannot be restored without it; ` +
          "pass --keep-old FILE to save it.",
        yes,
      );
    }
    const renewed = await renewMasterKey(target, keepOld, cli.env);
    if (!renewed.ok) throw new AdminError(renewed.problem);
    show(cli, renewed.value);
    if (keepOld !== undefined)
      print(cli, `saved master key ${deleted} to ${keepOld}; store it separately from the backups`);
  });
};

function show(cli: CliProcess, { resealed, masterKeyId }: Resealed): void {
  print(cli, `re-encrypted ${countOf(resealed, "key")} with master key ${masterKeyId}`);
}
