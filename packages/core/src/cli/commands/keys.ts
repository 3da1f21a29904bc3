import { writeFile } from "node:fs/promises";
import { Command } from "commander";
import pc from "picocolors";
import type { KeyView } from "../../use-cases/keys/manage-keys.ts";
import { AdminError, administer, type AdminClient } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { quote } from "../process/quote.ts";
import { appCommand, basePath, dateIn, examples, readInput, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";
import { resealCommand } from "./reseal.ts";

export function keysCommand(cli: CliProcess): Command {
  return new Command("keys")
    .description("Manage signing keys")
    .addHelpText("after", examples("countersign keys list", "countersign keys rotate --kind static --algorithm RS256"))
    .addCommand(
      appCommand("list", "List an app's signing keys with state and dates")
        .addHelpText("after", examples("countersign keys list", "countersign keys list --app shop --json"))
        .action(list(cli)),
    )
    .addCommand(
      appCommand("rotate", "Rotate a signing key; the new key is published for the lead time before it signs")
        .option("--kind <kind>", "static or dynamic [default: static]", "static")
        .option("--algorithm <name>", "RS256, ES256 or Ed25519 [default: RS256]", "RS256")
        .option("--keep-until <date>", "reject the old static key's tokens after this date (ISO 8601; default: never)")
        .option("--yes", "skip the confirmation prompt")
        .addHelpText(
          "after",
          examples(
            "countersign keys rotate",
            "countersign keys rotate --kind dynamic --algorithm ES256",
            "countersign keys rotate --keep-until 2027-01-31T00:00:00Z",
          ),
        )
        .action(rotate(cli)),
    )
    .addCommand(revokeKeyCommand(cli, "keys", "revoke"))
    .addCommand(
      appCommand("import", "Import a private key from another core so that its tokens remain valid")
        .argument("<file>", "private key (PEM or JWK), or - for stdin")
        .requiredOption("--kid <kid>", "kid in the header of its tokens")
        .option("--sign", "also sign with it, after the lead time")
        .option("--verifies-until <date>", "remove it from the key set at this date (ISO 8601; default: never)")
        .addHelpText(
          "after",
          examples(
            "countersign keys import old-core.pem --kid s-2f6e1c",
            "countersign keys import old-core.jwk.json --kid s-2f6e1c --verifies-until 2027-01-31T00:00:00Z",
          ),
        )
        .action(importKey(cli)),
    )
    .addCommand(
      appCommand("export-public", "Print the public keys of all algorithms as a JWK Set")
        .option("--out <file>", "write to a file instead of stdout")
        .addHelpText(
          "after",
          examples("countersign keys export-public", "countersign keys export-public --out jwks.json"),
        )
        .action(exportPublic(cli)),
    )
    .addCommand(resealCommand(cli));
}

/** @param parent the group that the command belongs to: both `keys revoke` and `revoke key` exist */
export function revokeKeyCommand(cli: CliProcess, parent: string, name: string): Command {
  return appCommand(name, "Revoke a key immediately and invalidate every token it signed")
    .argument("<kid>", "kid of the key")
    .option("--yes", "skip the confirmation prompt")
    .addHelpText(
      "after",
      examples(`countersign ${parent} ${name} s-2f6e1c`, `countersign ${parent} ${name} s-2f6e1c --app shop --yes`),
    )
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
        `Tokens of the old key that expire after ${keepUntil} become invalid at that time; their number is unknown.`,
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
  if (key === undefined) throw new AdminError(`key ${quote(kid)} not found in app ${quote(flags.app)}`);
  await confirm(cli, `Revoking ${kid} invalidates every token it signed: ${tokensOf(key)}.`, flags.yes);
  await client.call("POST", `${basePath(flags.app)}/keys/${encodeURIComponent(kid)}/revoke`);
  showKeys(cli, (await client.call<{ keys: KeyView[] }>("GET", `${basePath(flags.app)}/keys`)).keys, flags);
}

function tokensOf({ state, unexpiredHere }: KeyView): string {
  if (state === "prepared") return "none, because it has not signed yet";
  if (unexpiredHere === 0) return "their number is unknown";
  return `at least ${unexpiredHere} unexpired, counting those this core has signed since it started`;
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
    throw new AdminError("cannot parse the private key: expected PEM or a JWK");
  }
}
