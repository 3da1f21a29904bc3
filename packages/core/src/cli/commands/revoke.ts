import { text } from "node:stream/consumers";
import { Command } from "commander";
import { AdminError, administer } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { appCommand, basePath, dateIn, examples, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable } from "../terminal/output.ts";
import { revokeKeyCommand } from "./keys.ts";

export function revokeCommand(cli: CliProcess): Command {
  return new Command("revoke")
    .description("Revoke a token, a service's tokens or a key; verifiers pick it up within 75 s")
    .addHelpText("after", examples("countersign revoke token --jti 0f4c1b7e", "countersign revoke service orders"))
    .addCommand(
      appCommand("token", "Revoke one token")
        .argument("[token]", "token, or - for stdin")
        .option("--jti <jti>", "revoke by jti instead of the token")
        .option("--expires-at <date>", "with --jti: the token's exp (ISO 8601; default: keep the entry indefinitely)")
        .option("--yes", "skip the confirmation prompt")
        .addHelpText(
          "after",
          examples(
            'echo "$TOKEN" | countersign revoke token - --yes',
            "countersign revoke token --jti 0f4c1b7e --expires-at 2027-01-31T00:00:00Z",
          ),
        )
        .action(revokeToken(cli)),
    )
    .addCommand(
      appCommand("service", "Revoke all tokens issued to a service so far; new tokens are not affected")
        .argument("<name>", "service name, as in the sub or service claim of its tokens")
        .option("--yes", "skip the confirmation prompt")
        .addHelpText("after", examples("countersign revoke service orders", "countersign revoke service orders --yes"))
        .action(revokeService(cli)),
    )
    .addCommand(revokeKeyCommand(cli, "revoke", "key"));
}

const revokeToken =
  (cli: CliProcess) => (token: string | undefined, flags: AppFlags & { jti?: string; expiresAt?: string }) =>
    administer(cli, flags, async (client) => {
      if ((token === undefined) === (flags.jti === undefined)) throw new AdminError("expected either a token or --jti");
      const expiresAt = flags.expiresAt && Math.floor(Date.parse(dateIn(flags.expiresAt, "--expires-at")) / 1000);
      const body =
        flags.jti === undefined
          ? { token: token === "-" ? (await text(cli.stdin)).trim() : token }
          : { jti: flags.jti, ...(expiresAt === undefined ? {} : { expiresAt }) };
      await confirm(cli, "Verifiers will reject this token.", flags.yes);
      const path = `${basePath(flags.app)}/revocations/tokens`;
      const response = await client.call<{ token: { jti: string; expiresAt: number } }>("POST", path, body);
      if (flags.json === true) return print(cli, JSON.stringify(response));
      print(
        cli,
        `revoked ${response.token.jti}; stays in the revocation feed until it expires at ${printable(new Date(response.token.expiresAt * 1000).toISOString())}`,
      );
    });

const revokeService = (cli: CliProcess) => (service: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    await confirm(
      cli,
      `This revokes every token issued to ${service} so far; their number is unknown, because tokens are not stored. ` +
        "The service needs a new token before its next call.",
      flags.yes,
    );
    const path = `${basePath(flags.app)}/revocations/services`;
    const response = await client.call<{ service: { notBefore: number } }>("POST", path, { service });
    if (flags.json === true) return print(cli, JSON.stringify(response));
    print(
      cli,
      `revoked all tokens issued to ${service} until ${printable(new Date(response.service.notBefore * 1000).toISOString())}`,
    );
  });
