import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { isPlainObject } from "countersign/protocol";
import type { ClientKeyView, TrustView } from "../../use-cases/services/manage-clients.ts";
import { AdminError, administer } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { quote, safe } from "../process/quote.ts";
import { appCommand, basePath, examples, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";

/** The subcommands of `services` about authentication without a secret. */
export function trustCommands(cli: CliProcess): Command[] {
  return [
    appCommand("trust", "Let a workload authenticate as a service with its platform's token, without a secret")
      .argument("<name>", "service name")
      .requiredOption(
        "--issuer <url>",
        "iss of the platform's tokens, for example https://token.actions.githubusercontent.com",
      )
      .requiredOption("--subject <pattern>", "sub of the platform's tokens; exact, or a prefix ending in :* or /*")
      .requiredOption("--audience <name>", "required aud; use a value reserved for this core")
      .option("--jwks <file>", "JWK Set file (default: keys from the issuer's discovery document)")
      .addHelpText(
        "after",
        examples(
          "countersign services trust orders --issuer https://token.actions.githubusercontent.com \\",
          "    --subject 'repo:shop/orders:*' --audience countersign",
          "countersign services trust orders --issuer https://kubernetes.default.svc \\",
          "    --subject system:serviceaccount:shop:orders --audience countersign --jwks cluster.jwks.json",
        ),
      )
      .action(trust(cli)),
    appCommand("trusts", "List trusted identities")
      .addHelpText("after", examples("countersign services trusts", "countersign services trusts --app shop --json"))
      .action(listTrusts(cli)),
    appCommand("untrust", "Remove a trusted identity")
      .argument("<id>", "identity ID, from 'services trusts'")
      .option("--yes", "skip the confirmation prompt")
      .addHelpText(
        "after",
        examples("countersign services untrust 4f1d2c3b5a69", "countersign services untrust 4f1d2c3b5a69 --yes"),
      )
      .action(untrust(cli)),
    appCommand("keys", "Show or replace a service's public keys (private_key_jwt)")
      .argument("<name>", "service name")
      .option("--set <file>", "replace them with the JWK Set in this file")
      .addHelpText(
        "after",
        examples("countersign services keys orders", "countersign services keys orders --set orders.jwks.json"),
      )
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
    const response = await client.call<{ trust: TrustView }>("POST", trustsPath(flags.app), body);
    if (flags.json === true) return print(cli, JSON.stringify(response));
    print(
      cli,
      `trusted identity ${response.trust.id}: ${safe(subject)} from ${safe(issuer)} authenticates as ${safe(service)}`,
    );
  });

const listTrusts = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const response = await client.call<{ trusts: TrustView[] }>("GET", trustsPath(flags.app));
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    printTable(
      cli,
      ["identity", "service", "issuer", "subject", "audience", "keys"],
      response.trusts.map(({ id, service, issuer, subject, audience, pinned }) => [
        id,
        service,
        issuer,
        subject,
        audience,
        pinned === null ? "from discovery" : pinned.join(" "),
      ]),
    );
  });

const untrust = (cli: CliProcess) => (id: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    await confirm(cli, "Workloads with this identity can't get tokens any more.", flags.yes);
    const path = `${trustsPath(flags.app)}/${encodeURIComponent(id)}/delete`;
    const response = await client.call<object>("POST", path);
    print(cli, flags.json === true ? JSON.stringify(response) : `removed trusted identity ${id}`);
  });

const showKeys = (cli: CliProcess) => (name: string, flags: AppFlags & { set?: string }) =>
  administer(cli, flags, async (client) => {
    const path = `${basePath(flags.app)}/services/${encodeURIComponent(name)}/keys`;
    const response =
      flags.set === undefined
        ? await client.call<{ keys: ClientKeyView[] }>("GET", path)
        : await client.call<{ keys: ClientKeyView[] }>("PUT", path, { jwks: await readKeySet(flags.set, "--set") });
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    printTable(
      cli,
      ["kid", "algorithm", "since"],
      response.keys.map(({ kid, algorithm, createdAt }) => [kid, algorithm, printable(createdAt)]),
    );
  });

async function readKeySet(file: string, option: string): Promise<object> {
  const keySet = await readFile(file, "utf8")
    .then((text): unknown => JSON.parse(text))
    .catch(() => undefined); // the same error as for another JSON value
  if (!isPlainObject(keySet)) {
    throw new AdminError(`${option}: expected a file with a JWK Set ({"keys":[...]}), got ${quote(file)}`);
  }
  return keySet;
}
