import { text } from "node:stream/consumers";
import { Command } from "commander";
import { CountersignError, explainToken, meaningOf, type Check, type VerifierOptions } from "countersign";
import pc from "picocolors";
import { isWrittenAsCredential } from "../../domain/authentication/credential.ts";
import { AdminError, tellErrors } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { print, printable, printTable } from "../terminal/output.ts";

interface ExplainFlags {
  jwks?: string;
  issuer?: string;
  audience?: string[];
  scope?: string[];
  allow?: string[];
  require?: string[];
  allowHttp?: boolean;
  json?: boolean;
}

export function explainCommand(cli: CliProcess): Command {
  const collect = (value: string, before: string[] = []) => [...before, value];
  return new Command("explain")
    .description("Print every check that a verifier makes of a token, and how it goes.")
    .argument("<token>", "the token; - reads it from standard input, where no list of processes shows it")
    .option("--jwks <url>", "key set to verify it with; without it, neither signature nor revocation is checked")
    .option("--issuer <issuer>", "the iss it must have")
    .option("--audience <name>", "a name of the callee, which its aud must hold; repeatable", collect)
    .option("--scope <scope>", "a scope it must have; repeatable", collect)
    .option("--allow <service>", "a service that may call, as its sub says; repeatable", collect)
    .option("--require <claim=value>", "a claim it must have; repeatable; default source=microservice", collect)
    .option("--allow-http", "fetch the key set over plain http from another machine")
    .option("--json", "print the checks as JSON")
    .addHelpText("after", "\nExit code: 0 where a verifier lets it pass, 1 where not, or where that cannot be said.")
    .action((token: string, flags: ExplainFlags) => tellErrors(cli, () => explain(cli, token, flags)));
}

async function explain(cli: CliProcess, given: string, flags: ExplainFlags): Promise<void> {
  const token = given === "-" ? (await text(cli.stdin)).trim() : given;
  if (/^Bearer\s/i.test(token))
    throw new AdminError("leave 'Bearer' out: it is the header's, and no part of the token");
  if (isWrittenAsCredential(token)) {
    throw new AdminError("this is a credential and no token, but what a service gets its tokens with: keep it secret");
  }
  const explanation = await explainToken(token, optionsOf(flags)).catch((error: unknown) => {
    if (error instanceof CountersignError) throw new AdminError(error.message);
    throw error;
  });
  const { allowed, checks, token: parts } = explanation;
  if (allowed !== true) cli.exitCode = 1;
  if (flags.json === true) return print(cli, JSON.stringify(explanation, undefined, 2));

  printTable(
    cli,
    ["check", "outcome", "expected", "seen"],
    checks.map((check) => [check.name, outcomeOf(check), readable(check, check.expected), readable(check, check.seen)]),
  );
  if (parts !== undefined) {
    print(cli, `\n${pc.dim("header")}  ${safe(JSON.stringify(parts.header))}`);
    print(cli, `${pc.dim("claims")}  ${safe(JSON.stringify(parts.claims))}`);
  }
  const failed = checks.find((check) => check.reason !== undefined)?.reason;
  if (failed !== undefined) {
    print(cli, `\n${pc.red("refused")}  ${failed}: ${meaningOf(failed)}`);
    if (failed === "audience_mismatch" && flags.audience === undefined)
      print(cli, "It names an audience: add --audience NAME for a callee of that name");
  } else if (allowed === true) print(cli, `\n${pc.green("allowed")}  a verifier with these options lets it pass`);
  else
    print(
      cli,
      `\n${pc.yellow("not proven")}  nothing is wrong with what it says; add --jwks URL to verify its signature`,
    );
}

function optionsOf({ jwks, issuer, audience, scope, allow, require, allowHttp }: ExplainFlags): VerifierOptions {
  const options: VerifierOptions = { allowHttp: allowHttp === true };
  if (jwks !== undefined) options.jwksUri = jwks;
  if (issuer !== undefined) options.issuer = issuer;
  if (audience !== undefined) options.audience = audience;
  if (scope !== undefined) options.scope = scope.join(" "); // several in one value are as good
  if (allow !== undefined) options.allow = allow;
  if (require !== undefined) {
    options.requiredClaims = Object.fromEntries(
      require.map((pair) => {
        const [, name, value] = /^([^=]+)=(.*)$/.exec(pair) ?? [];
        if (name === undefined || value === undefined) throw new AdminError("--require: claim=value was expected");
        return [name, value];
      }),
    );
  }
  return options;
}

function outcomeOf({ outcome }: Check): string {
  if (outcome === "passed") return pc.green("✓ passed");
  return outcome === "failed" ? pc.red("✗ failed") : pc.dim("- not checked");
}

const TIMES: ReadonlySet<string> = new Set(["exp", "nbf and iat"]);

function readable({ name }: Check, value: string | undefined): string {
  const shown = safe(value);
  if (!TIMES.has(name)) return shown;
  return shown.replace(
    /\d{1,12}$/,
    (seconds) => `${seconds} (${printable(new Date(Number(seconds) * 1000).toISOString())})`,
  );
}

/** A stranger's text on our terminal: no control characters, and no more than a line holds. */
export function safe(value: string | undefined): string {
  // eslint-disable-next-line no-control-regex -- they are what must go
  const shown = (value ?? "").replace(/[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g, "?");
  return shown.length > 400 ? `${shown.slice(0, 400)}…` : shown;
}
