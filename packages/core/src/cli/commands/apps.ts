import { Command } from "commander";
import { AdminError, administer, type AdminTarget } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { appCommand, basePath, examples, withTarget, type AppFlags } from "../terminal/app-command.ts";
import { print, printTable } from "../terminal/output.ts";

export function appsCommand(cli: CliProcess): Command {
  return new Command("apps")
    .description("Manage apps (isolated namespaces with their own keys)")
    .addHelpText("after", examples("countersign apps list", "countersign apps algorithms ES256 --app shop"))
    .addCommand(
      withTarget(new Command("list").description("List apps and their signing algorithms"))
        .addHelpText("after", examples("countersign apps list", "countersign apps list --url http://localhost:3567"))
        .action(list(cli)),
    )
    .addCommand(
      appCommand("algorithms", "Set an app's signing algorithms; existing keys remain valid for verification")
        .argument("<names...>", "RS256, ES256, Ed25519, or 'default' for the core's configured algorithms")
        .addHelpText(
          "after",
          examples("countersign apps algorithms RS256 ES256", "countersign apps algorithms default --app shop"),
        )
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
    if (usesDefault && names.length > 1) throw new AdminError("'default' cannot be combined with algorithms");
    const body = { algorithms: usesDefault ? null : names };
    const response = await client.call<{ algorithms: string[] }>("PUT", `${basePath(flags.app)}/algorithms`, body);
    print(cli, `${flags.app} signs with ${response.algorithms.join(", ")}`);
  });
