import { Command } from "commander";
import pc from "picocolors";
import type { CredentialView, NewCredential, ServiceView } from "../../use-cases/services/manage-services.ts";
import { AdminError, administer } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { appCommand, basePath, dateIn, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";
import { trustCommands } from "./trusts.ts";

export function servicesCommand(cli: CliProcess): Command {
  const command = new Command("services")
    .description("Services: register, list, show, disable, enable, delete, and what they authenticate with.")
    .addCommand(
      appCommand("register", "Make a service known by its name.")
        .argument("<name>", "a-z 0-9 -, such as orders")
        .action(register(cli)),
    )
    .addCommand(appCommand("list", "Show the services of an app.").action(list(cli)))
    .addCommand(serviceCommand("show", "Show a service and its credentials.").action(show(cli)))
    .addCommand(
      serviceCommand("disable", "Refuse all credentials of a service from now on.")
        .option("--yes", "do not ask")
        .action(change(cli, "disable", (name) => `Every credential of ${name} is refused from now on.`)),
    )
    .addCommand(
      serviceCommand("enable", "Accept the credentials of a disabled service again.").action(change(cli, "enable")),
    )
    .addCommand(
      serviceCommand("delete", "Forget a service with all its credentials, once the policy does not name it.")
        .option("--yes", "do not ask")
        .action(change(cli, "delete", (name) => `${name} and its credentials are forgotten, for good.`)),
    )
    .addCommand(
      new Command("credential")
        .description("What a service authenticates with, in the place of an API key.")
        .addCommand(
          serviceCommand("add", "Make one, and print it this one time.")
            .option("--expires-at <date>", "from when on it is refused (ISO 8601); without it, never")
            .action(addCredential(cli)),
        )
        .addCommand(
          serviceCommand("revoke", "Refuse one from now on.")
            .argument("<id>", "its id, as 'services show' lists it")
            .option("--yes", "do not ask")
            .action(revokeCredential(cli)),
        ),
    );
  for (const one of trustCommands(cli)) command.addCommand(one);
  return command;
}

function serviceCommand(name: string, description: string): Command {
  return appCommand(name, description).argument("<name>", "the service");
}

const servicesPath = (app: string) => `${basePath(app)}/services`;
const pathOf = (app: string, name: string) => `${servicesPath(app)}/${encodeURIComponent(name)}`;

const itsTokens = (name: string) =>
  `Tokens that it has live on, for an hour at most; 'countersign revoke service ${name}' refuses them too.`;

const register = (cli: CliProcess) => (name: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const answer = await client.call<{ service: ServiceView }>("POST", servicesPath(flags.app), { name });
    if (flags.json === true) return print(cli, JSON.stringify(answer));
    print(cli, `registered ${name}; 'countersign services credential add ${name}' makes what it authenticates with`);
  });

const list = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const { services } = await client.call<{ services: ServiceView[] }>("GET", servicesPath(flags.app));
    if (flags.json === true) return print(cli, JSON.stringify({ services }, undefined, 2));
    showServices(cli, services);
  });

const show = (cli: CliProcess) => (name: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const answer = await client.call<{ service: ServiceView; credentials: CredentialView[] }>(
      "GET",
      pathOf(flags.app, name),
    );
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    showServices(cli, [answer.service]);
    if (answer.credentials.length === 0) return;
    print(cli, "");
    showCredentials(cli, answer.credentials);
  });

/** @param warning what is to be agreed to first */
function change(cli: CliProcess, what: "disable" | "enable" | "delete", warning?: (name: string) => string) {
  return (name: string, flags: AppFlags): Promise<void> =>
    administer(cli, flags, async (client) => {
      if (warning !== undefined) {
        await client.call("GET", pathOf(flags.app, name)); // nothing is announced of one that there is not
        await confirm(cli, `${warning(name)} ${itsTokens(name)}`, flags.yes);
      }
      const answer = await client.call<object>("POST", `${pathOf(flags.app, name)}/${what}`);
      print(cli, flags.json === true ? JSON.stringify(answer) : `${what}d ${name}`);
    });
}

const addCredential = (cli: CliProcess) => (name: string, flags: AppFlags & { expiresAt?: string }) =>
  administer(cli, flags, async (client) => {
    const expiresAt = flags.expiresAt === undefined ? null : dateIn(flags.expiresAt, "--expires-at");
    const path = `${pathOf(flags.app, name)}/credentials`;
    const { credential } = await client.call<{ credential: NewCredential }>("POST", path, { expiresAt });
    if (flags.json === true) return print(cli, JSON.stringify({ credential }));
    print(cli, credential.credential); // alone on stdout, for whoever pipes it into a secret store
    const end = credential.expiresAt === null ? "it is revoked" : printable(credential.expiresAt);
    const facts = `good until ${end}, known to every running core within 6 s`;
    cli.stderr.write(`credential ${credential.id} of ${name}, ${facts}; it is not shown again\n`);
  });

const revokeCredential = (cli: CliProcess) => (name: string, id: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const { credentials } = await client.call<{ credentials: CredentialView[] }>("GET", pathOf(flags.app, name));
    if (!credentials.some((one) => one.id === id)) {
      throw new AdminError(`${name} has no credential of that id; 'countersign services show ${name}' lists them`);
    }
    await confirm(cli, `Whoever authenticates with credential ${id} of ${name} is refused from now on.`, flags.yes);
    const path = `${pathOf(flags.app, name)}/credentials/${encodeURIComponent(id)}/revoke`;
    const answer = await client.call<object>("POST", path);
    print(cli, flags.json === true ? JSON.stringify(answer) : `revoked credential ${id} of ${name}`);
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
