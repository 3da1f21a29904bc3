import { Command } from "commander";
import { masterKeysToForget, renewMasterKey } from "../../composition/offline.ts";
import type { Resealed } from "../../use-cases/keys/reseal-keys.ts";
import { AdminError, administer, localTarget, tellErrors, type AdminTarget } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { withTarget } from "../terminal/app-command.ts";
import { confirm, print } from "../terminal/output.ts";

export function resealCommand(cli: CliProcess): Command {
  return withTarget(
    new Command("reseal").description("Seal every stored key of every app under the current master key."),
  )
    .option("--new-master-key", "make a new one first, beside an embedded database, and forget the old one")
    .option("--keep-old <file>", "with --new-master-key: write the old one there, for backups made until now")
    .option("--yes", "do not ask")
    .addHelpText(
      "after",
      `
To change COUNTERSIGN_MASTER_KEY without a gap: start every instance with OLD,NEW; then with NEW,OLD; reseal; then
start them with NEW. Each step may take as long as it likes. A COUNTERSIGN_MASTER_KEY_FILE has a line for each, and is
read again by itself.`,
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
  return tellErrors(cli, async () => {
    const { keepOld, yes } = flags;
    const target = localTarget(cli, flags);
    const forgotten = (await masterKeysToForget(target, cli.env)).join(", ");
    if (keepOld === undefined) {
      await confirm(
        cli,
        `Master key ${forgotten} is destroyed. A backup made until now needs it, and nobody can restore one without ` +
          "it any more; --keep-old FILE keeps it.",
        yes,
      );
    }
    const renewed = await renewMasterKey(target, keepOld, cli.env);
    if (!renewed.ok) throw new AdminError(renewed.problem);
    show(cli, renewed.value);
    if (keepOld !== undefined)
      print(cli, `kept master key ${forgotten} in ${keepOld}: put it where the backups are not`);
  });
};

function show(cli: CliProcess, { resealed, masterKeyId }: Resealed): void {
  print(cli, `sealed ${resealed} key(s) under master key ${masterKeyId}`);
}
