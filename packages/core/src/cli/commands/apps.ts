import { Command } from "commander";
import { AdminError, administer, withTarget, type AdminTarget } from "../client/admin-client.ts";
import { print, printTable } from "../terminal/output.ts";
import { appCommand, basePath, type AppFlags } from "./keys.ts";

export function appsCommand(): Command {
  return new Command("apps")
    .description("Apps: isolated worlds with keys of their own.")
    .addCommand(withTarget(new Command("list").description("Show the apps and what they sign with.")).action(list))
    .addCommand(
      appCommand("algorithms", "Set what an app signs with. Keys of other algorithms go on verifying.")
        .argument("<names...>", "RS256, ES256, Ed25519; or 'default' for what the core is configured to")
        .action(setAlgorithms),
    );
}

function list(flags: AdminTarget): Promise<void> {
  return administer(flags, async (client) => {
    const { apps } = await client.call<{ apps: { appId: string; algorithms: string[] }[] }>("GET", "/apps");
    printTable(
      ["app", "algorithms"],
      apps.map((app) => [app.appId, app.algorithms.join(" ")]),
    );
  });
}

function setAlgorithms(names: string[], flags: AppFlags): Promise<void> {
  return administer(flags, async (client) => {
    const usesDefault = names.includes("default");
    if (usesDefault && names.length > 1) throw new AdminError("'default' stands alone");
    const body = { algorithms: usesDefault ? null : names };
    const answer = await client.call<{ algorithms: string[] }>("PUT", `${basePath(flags.app)}/algorithms`, body);
    print(`${flags.app} signs with ${answer.algorithms.join(", ")}`);
  });
}
