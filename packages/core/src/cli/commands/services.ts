import { Command } from "commander";
import pc from "picocolors";
import type { CredentialView, NewCredential, ServiceView } from "../../use-cases/services/manage-services.ts";
import { AdminError, administer } from "../client/admin-client.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";
import { appCommand, basePath, dateIn, type AppFlags } from "./keys.ts";
import { trustCommands } from "./trusts.ts";

export function servicesCommand(): Command {
  const command = new Command("services")
    .description("Services: register, list, show, disable, enable, delete, and what they authenticate with.")
    .addCommand(
      appCommand("register", "Make a service known by its name.")
        .argument("<name>", "a-z 0-9 -, such as orders")
        .action(register),
    )
    .addCommand(appCommand("list", "Show the services of an app.").action(list))
    .addCommand(serviceCommand("show", "Show a service and its credentials.").action(show))
    .addCommand(
      serviceCommand("disable", "Refuse all credentials of a service from now on.")
        .option("--yes", "do not ask")
        .action(change("disable", (name) => `Every credential of ${name} is refused from now on.`)),
    )
    .addCommand(
      serviceCommand("enable", "Accept the credentials of a disabled service again.").action(change("enable")),
    )
    .addCommand(
      serviceCommand("delete", "Forget a service with all its credentials, once the policy does not name it.")
        .option("--yes", "do not ask")
        .action(change("delete", (name) => `${name} and its credentials are forgotten, for good.`)),
    )
    .addCommand(
      new Command("credential")
        .description("What a service authenticates with, in the place of an API key.")
        .addCommand(
          serviceCommand("add", "Make one, and print it this one time.")
            .option("--expires-at <date>", "from when on it is refused (ISO 8601); without it, never")
            .action(addCredential),
        )
        .addCommand(
          serviceCommand("revoke", "Refuse one from now on.")
            .argument("<id>", "its id, as 'services show' lists it")
            .option("--yes", "do not ask")
            .action(revokeCredential),
        ),
    );
  for (const one of trustCommands()) command.addCommand(one);
  return command;
}

function serviceCommand(name: string, description: string): Command {
  return appCommand(name, description).argument("<name>", "the service");
}

const servicesPath = (app: string) => `${basePath(app)}/services`;
const pathOf = (app: string, name: string) => `${servicesPath(app)}/${encodeURIComponent(name)}`;

const itsTokens = (name: string) =>
  `Tokens that it has live on, for an hour at most; 'countersign revoke service ${name}' refuses them too.`;

function register(name: string, flags: AppFlags): Promise<void> {
  return administer(flags, async (client) => {
    const answer = await client.call<{ service: ServiceView }>("POST", servicesPath(flags.app), { name });
    if (flags.json === true) return print(JSON.stringify(answer));
    print(`registered ${name}; 'countersign services credential add ${name}' makes what it authenticates with`);
  });
}

function list(flags: AppFlags): Promise<void> {
  return administer(flags, async (client) => {
    const { services } = await client.call<{ services: ServiceView[] }>("GET", servicesPath(flags.app));
    if (flags.json === true) return print(JSON.stringify({ services }, undefined, 2));
    showServices(services);
  });
}

function show(name: string, flags: AppFlags): Promise<void> {
  return administer(flags, async (client) => {
    const answer = await client.call<{ service: ServiceView; credentials: CredentialView[] }>(
      "GET",
      pathOf(flags.app, name),
    );
    if (flags.json === true) return print(JSON.stringify(answer, undefined, 2));
    showServices([answer.service]);
    if (answer.credentials.length === 0) return;
    print("");
    showCredentials(answer.credentials);
  });
}

/** @param warning what is to be agreed to first */
function change(what: "disable" | "enable" | "delete", warning?: (name: string) => string) {
  return (name: string, flags: AppFlags): Promise<void> =>
    administer(flags, async (client) => {
      if (warning !== undefined) {
        await client.call("GET", pathOf(flags.app, name)); // nothing is announced of one that there is not
        await confirm(`${warning(name)} ${itsTokens(name)}`, flags.yes);
      }
      const answer = await client.call<object>("POST", `${pathOf(flags.app, name)}/${what}`);
      print(flags.json === true ? JSON.stringify(answer) : `${what}d ${name}`);
    });
}

function addCredential(name: string, flags: AppFlags & { expiresAt?: string }): Promise<void> {
  return administer(flags, async (client) => {
    const expiresAt = flags.expiresAt === undefined ? null : dateIn(flags.expiresAt, "--expires-at");
    const path = `${pathOf(flags.app, name)}/credentials`;
    const { credential } = await client.call<{ credential: NewCredential }>("POST", path, { expiresAt });
    if (flags.json === true) return print(JSON.stringify({ credential }));
    print(credential.credential); // alone on stdout, for whoever pipes it into a secret store
    const end = credential.expiresAt === null ? "it is revoked" : printable(credential.expiresAt);
    const facts = `good until ${end}, known to every running core within 6 s`;
    process.stderr.write(`credential ${credential.id} of ${name}, ${facts}; it is not shown again\n`);
  });
}

function revokeCredential(name: string, id: string, flags: AppFlags): Promise<void> {
  return administer(flags, async (client) => {
    const { credentials } = await client.call<{ credentials: CredentialView[] }>("GET", pathOf(flags.app, name));
    if (!credentials.some((one) => one.id === id)) {
      throw new AdminError(`${name} has no credential of that id; 'countersign services show ${name}' lists them`);
    }
    await confirm(`Whoever authenticates with credential ${id} of ${name} is refused from now on.`, flags.yes);
    const path = `${pathOf(flags.app, name)}/credentials/${encodeURIComponent(id)}/revoke`;
    const answer = await client.call<object>("POST", path);
    print(flags.json === true ? JSON.stringify(answer) : `revoked credential ${id} of ${name}`);
  });
}

function showServices(services: readonly ServiceView[]): void {
  printTable(
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

function showCredentials(credentials: readonly CredentialView[]): void {
  printTable(
    ["credential", "state", "created", "expires", "last used"],
    credentials.map((one) => [
      one.id,
      one.state === "active" ? pc.green(one.state) : pc.dim(one.state),
      ...[one.createdAt, one.expiresAt, one.lastUsedAt].map(printable),
    ]),
  );
}
