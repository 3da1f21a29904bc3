import { Command } from "commander";
import { AdminError, administer, type AdminTarget } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { appCommand, basePath, withTarget, type AppFlags } from "../terminal/app-command.ts";
import { print, printTable } from "../terminal/output.ts";

export function appsCommand(cli: CliProcess): Command {
  return new Command("apps")
    .description("Apps: isolated worlds with keys of their own.")
    .addCommand(withTarget(new Command("list").description("Show the apps and what they sign with.")).action(list(cli)))
    .addCommand(
      appCommand("algorithms", "Set what an app signs with. Keys of other algorithms go on verifying.")
        .argument("<names...>", "RS256, ES256, Ed25519; or 'default' for what the core is configured to")
        .action(setAlgorithms(cli)),
    );
}

const list = (cli: CliProcess) => (flags: AdminTarget) =>
  administer(cli, flags, async (client) => {
    const { apps } = await client.call<{ apps: { appId: string; algorithms: string[] }[] }>("GET", "/apps");
    printTable(
      cli,
      ["app", "algorithms"],
      apps.map((app) => [app.appId, app.algorithms.join(" ")]),
    );
  });

const setAlgorithms = (cli: CliProcess) => (names: string[], flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const usesDefault = names.includes("default");
    if (usesDefault && names.length > 1) throw new AdminError("'default' stands alone");
    const body = { algorithms: usesDefault ? null : names };
    const answer = await client.call<{ algorithms: string[] }>("PUT", `${basePath(flags.app)}/algorithms`, body);
    print(cli, `${flags.app} signs with ${answer.algorithms.join(", ")}`);
  });
