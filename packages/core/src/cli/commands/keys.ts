import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import pc from "picocolors";
import type { KeyView } from "../../use-cases/keys/manage-keys.ts";
import { AdminError, administer, type AdminClient } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { appCommand, basePath, dateIn, readInput, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";
import { resealCommand } from "./reseal.ts";

export function keysCommand(cli: CliProcess): Command {
  return new Command("keys")
    .description("Signing keys: list, rotate, revoke, import, export-public, reseal.")
    .addCommand(appCommand("list", "Show the keys of an app, their dates and states.").action(list(cli)))
    .addCommand(
      appCommand("rotate", "Replace a signer. The new key is published for the lead before it signs.")
        .option("--kind <kind>", "static or dynamic", "static")
        .option("--algorithm <name>", "RS256, ES256 or Ed25519", "RS256")
        .option("--keep-until <date>", "until when the old static key verifies (ISO 8601); without it, for ever")
        .option("--yes", "do not ask")
        .action(rotate(cli)),
    )
    .addCommand(revokeKeyCommand(cli, "revoke"))
    .addCommand(
      appCommand("import", "Let a key of another core verify here, so that its tokens go on.")
        .argument("<file>", "private key: PEM or JWK; - reads it from standard input")
        .requiredOption("--kid <kid>", "the kid that its tokens carry")
        .option("--sign", "it becomes the static signer after the lead")
        .option("--verifies-until <date>", "when it leaves the key set (ISO 8601); without it, never")
        .action(importKey(cli)),
    )
    .addCommand(
      appCommand("export-public", "Print the public key set of every algorithm.")
        .option("--out <file>", "write it there instead")
        .action(exportPublic(cli)),
    )
    .addCommand(resealCommand(cli));
}

export function revokeKeyCommand(cli: CliProcess, name: string): Command {
  return appCommand(name, "Take a key out of the set at once: every token it signed is refused.")
    .argument("<kid>", "key to revoke")
    .option("--yes", "do not ask")
    .action((kid: string, flags: AppFlags) => administer(cli, flags, (client) => revokeKey(cli, client, kid, flags)));
}

const list = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    showKeys(cli, (await client.call<{ keys: KeyView[] }>("GET", `${basePath(flags.app)}/keys`)).keys, flags);
  });

const rotate = (cli: CliProcess) => (flags: AppFlags & { kind: string; algorithm: string; keepUntil?: string }) =>
  administer(cli, flags, async (client) => {
    const { kind, algorithm, keepUntil } = flags;
    if (keepUntil !== undefined) {
      await confirm(
        cli,
        `Tokens that live past ${keepUntil} and were signed by the old key end then; how many cannot be known.`,
        flags.yes,
      );
    }
    const body = { kind, algorithm, keepUntil: keepUntil === undefined ? null : dateIn(keepUntil, "--keep-until") };
    showKeys(
      cli,
      (await client.call<{ keys: KeyView[] }>("POST", `${basePath(flags.app)}/keys/rotate`, body)).keys,
      flags,
    );
  });

async function revokeKey(cli: CliProcess, client: AdminClient, kid: string, flags: AppFlags): Promise<void> {
  const { keys } = await client.call<{ keys: KeyView[] }>("GET", `${basePath(flags.app)}/keys`);
  const key = keys.find((one) => one.kid === kid);
  if (key === undefined) throw new AdminError(`there is no key ${kid} in app ${flags.app}`);
  await confirm(cli, `Every token that ${kid} signed is refused from now on: ${tokensOf(key)}.`, flags.yes);
  await client.call("POST", `${basePath(flags.app)}/keys/${encodeURIComponent(kid)}/revoke`);
  showKeys(cli, (await client.call<{ keys: KeyView[] }>("GET", `${basePath(flags.app)}/keys`)).keys, flags);
}

function tokensOf({ state, unexpiredHere }: KeyView): string {
  if (state === "prepared") return "none, it has not signed yet";
  if (unexpiredHere === 0) return "how many cannot be known from here";
  return `at least ${unexpiredHere} that have not expired, which this core signed since it started`;
}

const importKey =
  (cli: CliProcess) => (file: string, flags: AppFlags & { kid: string; sign?: boolean; verifiesUntil?: string }) =>
    administer(cli, flags, async (client) => {
      const source = (await readInput(cli, file)).trim();
      const verifiesUntil = flags.verifiesUntil === undefined ? null : dateIn(flags.verifiesUntil, "--verifies-until");
      const body = {
        kid: flags.kid,
        key: source.startsWith("{") ? jsonIn(source) : source,
        signs: flags.sign === true,
        verifiesUntil,
      };
      const { key } = await client.call<{ key: KeyView }>("POST", `${basePath(flags.app)}/keys/import`, body);
      showKeys(cli, [key], flags);
    });

const exportPublic = (cli: CliProcess) => (flags: AppFlags & { out?: string }) =>
  administer(cli, flags, async (client) => {
    const document = JSON.stringify(await client.call("GET", `${basePath(flags.app)}/keys/public`), undefined, 2);
    if (flags.out === undefined) return print(cli, document);
    await writeFile(flags.out, `${document}\n`).catch((error: Error) => {
      throw new AdminError(`cannot write ${flags.out}: ${error.message}`);
    });
  });

const STATES: Record<KeyView["state"], (text: string) => string> = {
  active: pc.green,
  prepared: pc.cyan,
  retired: pc.dim,
  revoked: pc.red,
  removed: pc.dim,
};

function showKeys(cli: CliProcess, keys: readonly KeyView[], { json }: AppFlags): void {
  if (json === true) return print(cli, JSON.stringify({ keys }, undefined, 2));
  printTable(
    cli,
    ["kid", "kind", "algorithm", "state", "signs from", "signs until", "verifies until"],
    keys.map((key) => [
      key.kid,
      key.kind,
      key.algorithm,
      STATES[key.state](key.state),
      printable(key.signsFrom),
      printable(key.signsUntil),
      key.revokedAt === null ? printable(key.verifiesUntil) : `revoked ${printable(key.revokedAt)}`,
    ]),
  );
}

function jsonIn(source: string): object {
  try {
    return JSON.parse(source) as object;
  } catch {
    throw new AdminError("the file is neither PEM nor JSON");
  }
}
