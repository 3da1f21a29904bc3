import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { ClientKeyView, TrustView } from "../../use-cases/services/manage-clients.ts";
import { AdminError, administer } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { appCommand, basePath, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";

/** What of `services` is about proving who one is without a secret. */
export function trustCommands(cli: CliProcess): Command[] {
  return [
    appCommand("trust", "Take a platform's word for it that a workload is this service: it starts without a secret.")
      .argument("<name>", "the service")
      .requiredOption(
        "--issuer <url>",
        "iss of the platform's tokens, such as https://token.actions.githubusercontent.com",
      )
      .requiredOption(
        "--subject <pattern>",
        "their sub, such as system:serviceaccount:shop:orders; exact, or with one * at its end, behind : or /",
      )
      .requiredOption("--audience <name>", "what their aud must name; have the platform make them for this core only")
      .option(
        "--jwks <file>",
        "the platform's keys; without it, they are found through the issuer's discovery document",
      )
      .action(trust(cli)),
    appCommand("trusts", "Show whose word is taken for which service.").action(listTrusts(cli)),
    appCommand("untrust", "End a trust: tokens of the platform are refused from now on.")
      .argument("<id>", "its id, as 'services trusts' lists it")
      .option("--yes", "do not ask")
      .action(untrust(cli)),
    appCommand("keys", "Show or replace the public keys that a service signs its assertions with (private_key_jwt).")
      .argument("<name>", "the service")
      .option("--set <file>", "a JWK set, in the place of those that it has")
      .action(showKeys(cli)),
  ];
}

interface TrustFlags extends AppFlags {
  issuer: string;
  subject: string;
  audience: string;
  jwks?: string;
}

const trustsPath = (app: string) => `${basePath(app)}/trusts`;

const trust = (cli: CliProcess) => (service: string, flags: TrustFlags) =>
  administer(cli, flags, async (client) => {
    const { issuer, subject, audience } = flags;
    const jwks = flags.jwks === undefined ? null : await readKeySet(flags.jwks, "--jwks");
    const body = { service, issuer, subject, audience, jwks };
    const answer = await client.call<{ trust: TrustView }>("POST", trustsPath(flags.app), body);
    if (flags.json === true) return print(cli, JSON.stringify(answer));
    print(
      cli,
      `trust ${printable(answer.trust.id)}: ${printable(subject)} of ${printable(issuer)} is ${printable(service)}`,
    );
  });

const listTrusts = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const answer = await client.call<{ trusts: TrustView[] }>("GET", trustsPath(flags.app));
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    printTable(
      cli,
      ["trust", "service", "issuer", "subject", "audience", "keys"],
      answer.trusts.map(({ id, service, issuer, subject, audience, pinned }) => [
        ...[id, service, issuer, subject, audience],
        pinned === null ? "by discovery" : pinned.join(" "),
      ]),
    );
  });

const untrust = (cli: CliProcess) => (id: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    await confirm(cli, "Who proves itself by this trust gets no more tokens.", flags.yes);
    const path = `${trustsPath(flags.app)}/${encodeURIComponent(id)}/delete`;
    const answer = await client.call<object>("POST", path);
    print(cli, flags.json === true ? JSON.stringify(answer) : `ended trust ${id}`);
  });

const showKeys = (cli: CliProcess) => (name: string, flags: AppFlags & { set?: string }) =>
  administer(cli, flags, async (client) => {
    const path = `${basePath(flags.app)}/services/${encodeURIComponent(name)}/keys`;
    const answer =
      flags.set === undefined
        ? await client.call<{ keys: ClientKeyView[] }>("GET", path)
        : await client.call<{ keys: ClientKeyView[] }>("PUT", path, { jwks: await readKeySet(flags.set, "--set") });
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    printTable(
      cli,
      ["kid", "algorithm", "since"],
      answer.keys.map(({ kid, algorithm, createdAt }) => [kid, algorithm, printable(createdAt)]),
    );
  });

async function readKeySet(file: string, option: string): Promise<object> {
  try {
    const read: unknown = JSON.parse(await readFile(file, "utf8"));
    if (typeof read === "object" && read !== null && !Array.isArray(read)) return read;
  } catch {
    // said below, without the system's words for it
  }
  throw new AdminError(`${option}: ${file} was expected to be a file with a JWK set ({"keys":[...]})`);
}
