import { Command } from "commander";
import pc from "picocolors";
import type { CredentialView, NewCredential, ServiceView } from "../../use-cases/services/manage-services.ts";
import { AdminError, administer } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { quote } from "../process/quote.ts";
import { appCommand, basePath, dateIn, examples, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";
import { trustCommands } from "./trusts.ts";

export function servicesCommand(cli: CliProcess): Command {
  const command = new Command("services")
    .description("Manage services and how they authenticate")
    .addHelpText(
      "after",
      examples("countersign services register orders", "countersign services credential add orders"),
    )
    .addCommand(
      appCommand("register", "Register a service")
        .argument("<name>", "service name: a-z, 0-9 and hyphens, for example orders")
        .addHelpText(
          "after",
          examples("countersign services register orders", "countersign services register orders --app shop"),
        )
        .action(register(cli)),
    )
    .addCommand(
      appCommand("list", "List an app's services")
        .addHelpText("after", examples("countersign services list", "countersign services list --app shop --json"))
        .action(list(cli)),
    )
    .addCommand(
      serviceCommand("show", "Show a service and its credentials")
        .addHelpText("after", examples("countersign services show orders", "countersign services show orders --json"))
        .action(show(cli)),
    )
    .addCommand(
      serviceCommand("disable", "Disable a service and reject its credentials")
        .option("--yes", "skip the confirmation prompt")
        .addHelpText(
          "after",
          examples("countersign services disable orders", "countersign services disable orders --yes"),
        )
        .action(change(cli, "disable", (name) => `This rejects every credential of ${name}.`)),
    )
    .addCommand(
      serviceCommand("enable", "Re-enable a disabled service")
        .addHelpText(
          "after",
          examples("countersign services enable orders", "countersign services enable orders --app shop"),
        )
        .action(change(cli, "enable")),
    )
    .addCommand(
      serviceCommand("delete", "Delete a service and its credentials; the current policy must not reference it")
        .option("--yes", "skip the confirmation prompt")
        .addHelpText(
          "after",
          examples("countersign services delete orders", "countersign services delete orders --yes"),
        )
        .action(change(cli, "delete", (name) => `This deletes ${name} and its credentials permanently.`)),
    )
    .addCommand(credentialCommand(cli));
  for (const subcommand of trustCommands(cli)) command.addCommand(subcommand);
  return command;
}

function credentialCommand(cli: CliProcess): Command {
  return new Command("credential")
    .description("Manage a service's credentials")
    .addHelpText(
      "after",
      examples(
        "countersign services credential add orders",
        "countersign services credential revoke orders 4f1d2c3b5a69",
      ),
    )
    .addCommand(
      serviceCommand("add", "Create a credential and print it once")
        .option("--expires-at <date>", "expiry date (ISO 8601; default: never)")
        .addHelpText(
          "after",
          examples(
            "countersign services credential add orders",
            "countersign services credential add orders --expires-at 2027-01-31T00:00:00Z",
          ),
        )
        .action(addCredential(cli)),
    )
    .addCommand(
      serviceCommand("revoke", "Revoke a credential")
        .argument("<id>", "credential ID, from 'services show'")
        .option("--yes", "skip the confirmation prompt")
        .addHelpText(
          "after",
          examples(
            "countersign services credential revoke orders 4f1d2c3b5a69",
            "countersign services credential revoke orders 4f1d2c3b5a69 --yes",
          ),
        )
        .action(revokeCredential(cli)),
    );
}

function serviceCommand(name: string, description: string): Command {
  return appCommand(name, description).argument("<name>", "service name");
}

const servicesPath = (app: string) => `${basePath(app)}/services`;
const pathOf = (app: string, name: string) => `${servicesPath(app)}/${encodeURIComponent(name)}`;

const remainingTokens = (name: string) =>
  `Its tokens remain valid for up to an hour; to revoke them too, run 'countersign revoke service ${name}'.`;

const register = (cli: CliProcess) => (name: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const response = await client.call<{ service: ServiceView }>("POST", servicesPath(flags.app), { name });
    if (flags.json === true) return print(cli, JSON.stringify(response));
    print(cli, `registered ${name}; create a credential with 'countersign services credential add ${name}'`);
  });

const list = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const { services } = await client.call<{ services: ServiceView[] }>("GET", servicesPath(flags.app));
    if (flags.json === true) return print(cli, JSON.stringify({ services }, undefined, 2));
    showServices(cli, services);
  });

const show = (cli: CliProcess) => (name: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const response = await client.call<{ service: ServiceView; credentials: CredentialView[] }>(
      "GET",
      pathOf(flags.app, name),
    );
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    showServices(cli, [response.service]);
    if (response.credentials.length === 0) return;
    print(cli, "");
    showCredentials(cli, response.credentials);
  });

/** @param warning text to confirm first; undefined: no confirmation needed */
function change(cli: CliProcess, action: "disable" | "enable" | "delete", warning?: (name: string) => string) {
  return (name: string, flags: AppFlags): Promise<void> =>
    administer(cli, flags, async (client) => {
      if (warning !== undefined) {
        await client.call("GET", pathOf(flags.app, name)); // fails before the prompt if the service does not exist
        await confirm(cli, `${warning(name)} ${remainingTokens(name)}`, flags.yes);
      }
      const response = await client.call<object>("POST", `${pathOf(flags.app, name)}/${action}`);
      print(cli, flags.json === true ? JSON.stringify(response) : `${action}d ${name}`);
    });
}

const addCredential = (cli: CliProcess) => (name: string, flags: AppFlags & { expiresAt?: string }) =>
  administer(cli, flags, async (client) => {
    const expiresAt = flags.expiresAt === undefined ? null : dateIn(flags.expiresAt, "--expires-at");
    const path = `${pathOf(flags.app, name)}/credentials`;
    const { credential } = await client.call<{ credential: NewCredential }>("POST", path, { expiresAt });
    if (flags.json === true) return print(cli, JSON.stringify({ credential }));
    print(cli, credential.credential); // alone on stdout, so that it can be piped into a secret store
    const end = credential.expiresAt === null ? "revoked" : printable(credential.expiresAt);
    const details = `valid until ${end}, accepted by every running core within 6 s`;
    cli.stderr.write(`credential ${credential.id} of ${name}, ${details}; it is not shown again\n`);
  });

const revokeCredential = (cli: CliProcess) => (name: string, id: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const { credentials } = await client.call<{ credentials: CredentialView[] }>("GET", pathOf(flags.app, name));
    if (!credentials.some((one) => one.id === id)) {
      throw new AdminError(
        `credential ${quote(id)} of ${name} not found; list credentials with 'countersign services show ${name}'`,
      );
    }
    await confirm(cli, `This revokes credential ${id} of ${name}; requests that use it are rejected.`, flags.yes);
    const path = `${pathOf(flags.app, name)}/credentials/${encodeURIComponent(id)}/revoke`;
    const response = await client.call<object>("POST", path);
    print(cli, flags.json === true ? JSON.stringify(response) : `revoked credential ${id} of ${name}`);
  });

function showServices(cli: CliProcess, services: readonly ServiceView[]): void {
  printTable(
    cli,
    ["service", "state", "credentials", "registered", "disabled"],
    services.map((service) => [
      service.name,
      service.state === "enabled" ? pc.green(service.state) : pc.red(service.state),
      String(service.credentials),
      printable(service.createdAt),
      printable(service.disabledAt),
    ]),
  );
}

function showCredentials(cli: CliProcess, credentials: readonly CredentialView[]): void {
  printTable(
    cli,
    ["credential", "state", "created", "expires", "last used"],
    credentials.map((one) => [
      one.id,
      one.state === "active" ? pc.green(one.state) : pc.dim(one.state),
      ...[one.createdAt, one.expiresAt, one.lastUsedAt].map(printable),
    ]),
  );
}
