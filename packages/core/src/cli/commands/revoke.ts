import { text } from "node:stream/consumers";
import { Command } from "commander";
import { AdminError, administer } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { appCommand, basePath, dateIn, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable } from "../terminal/output.ts";
import { revokeKeyCommand } from "./keys.ts";

export function revokeCommand(cli: CliProcess): Command {
  return new Command("revoke")
    .description(
      "Refuse what was issued: a token, everything of a service, everything of a key. Verifiers know within 75 s.",
    )
    .addCommand(
      appCommand("token", "Refuse one token.")
        .argument("[token]", "the token; - reads it from standard input")
        .option("--jti <jti>", "its jti, where the token itself is not at hand")
        .option("--expires-at <date>", "with --jti: its exp (ISO 8601); without it, it is listed for ever")
        .option("--yes", "do not ask")
        .action(revokeToken(cli)),
    )
    .addCommand(
      appCommand("service", "Refuse everything issued to a service until now; what it asks for afterwards is good.")
        .argument("<name>", "the service: sub, or else service, of its tokens")
        .option("--yes", "do not ask")
        .action(revokeService(cli)),
    )
    .addCommand(revokeKeyCommand(cli, "key"));
}

const revokeToken =
  (cli: CliProcess) => (token: string | undefined, flags: AppFlags & { jti?: string; expiresAt?: string }) =>
    administer(cli, flags, async (client) => {
      if ((token === undefined) === (flags.jti === undefined)) throw new AdminError("give the token, or its --jti");
      const expiresAt = flags.expiresAt && Math.floor(Date.parse(dateIn(flags.expiresAt, "--expires-at")) / 1000);
      const body =
        flags.jti === undefined
          ? { token: token === "-" ? (await text(cli.stdin)).trim() : token }
          : { jti: flags.jti, ...(expiresAt === undefined ? {} : { expiresAt }) };
      await confirm(cli, "One token is refused from now on.", flags.yes);
      const path = `${basePath(flags.app)}/revocations/tokens`;
      const answer = await client.call<{ token: { jti: string; expiresAt: number } }>("POST", path, body);
      if (flags.json === true) return print(cli, JSON.stringify(answer));
      print(
        cli,
        `revoked ${answer.token.jti}, listed until it expires at ${printable(new Date(answer.token.expiresAt * 1000).toISOString())}`,
      );
    });

const revokeService = (cli: CliProcess) => (service: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    await confirm(
      cli,
      `Every token issued to ${service} until now is refused; how many cannot be known, as tokens are not stored. ` +
        "It needs a new one before its next call.",
      flags.yes,
    );
    const path = `${basePath(flags.app)}/revocations/services`;
    const answer = await client.call<{ service: { notBefore: number } }>("POST", path, { service });
    if (flags.json === true) return print(cli, JSON.stringify(answer));
    print(
      cli,
      `revoked what ${service} was issued until ${printable(new Date(answer.service.notBefore * 1000).toISOString())}`,
    );
  });
