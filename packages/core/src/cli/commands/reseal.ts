import { Command } from "commander";
import { renewMasterKey } from "../../maintenance.ts";
import type { Resealed } from "../../use-cases/reseal-keys.ts";
import { AdminError, administer, localTarget, tellErrors, withTarget, type AdminTarget } from "../admin-client.ts";
import { print } from "../output.ts";

export function resealCommand(): Command {
  return withTarget(
    new Command("reseal").description("Seal every stored key of every app under the current master key."),
  )
    .option("--new-master-key", "make a new one first, beside an embedded database, and forget the old one")
    .addHelpText(
      "after",
      `
To change COUNTERSIGN_MASTER_KEY without a gap: start every instance with OLD,NEW; then with NEW,OLD; reseal; then
start them with NEW. Each step may take as long as it likes.`,
    )
    .action(resealKeys);
}

function resealKeys(flags: AdminTarget & { newMasterKey?: boolean }): Promise<void> {
  if (flags.newMasterKey !== true) {
    return administer(flags, async (client) => {
      show((await client.call<{ reseal: Resealed }>("POST", "/reseal")).reseal);
    });
  }
  return tellErrors(async () => {
    const renewed = await renewMasterKey(localTarget(flags));
    if (!renewed.ok) throw new AdminError(renewed.problem);
    show(renewed.value);
  });
}

function show({ resealed, masterKeyId }: Resealed): void {
  print(`sealed ${resealed} key(s) under master key ${masterKeyId}`);
}
