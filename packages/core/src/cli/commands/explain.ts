import { text } from "node:stream/consumers";
import { Command } from "commander";
import { CountersignError, explainToken, meaningOf, type Check, type VerifierOptions } from "countersign";
import pc from "picocolors";
import { isWrittenAsCredential } from "../../domain/authentication/credential.ts";
import { AdminError, reportErrors } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { quote, safe } from "../process/quote.ts";
import { examples } from "../terminal/app-command.ts";
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
    .description("Show every check a verifier runs on a token, and the result")
    .argument("<token>", "token, or - for stdin (keeps it out of the process list)")
    .option("--jwks <url>", "JWKS URL (default: signature and revocation are not checked)")
    .option("--issuer <issuer>", "required iss")
    .option("--audience <name>", "accepted aud; repeatable", collect)
    .option("--scope <scope>", "required scope; repeatable", collect)
    .option("--allow <service>", "allowed caller (sub); repeatable", collect)
    .option("--require <claim=value>", "required claim; repeatable (default: source=microservice)", collect)
    .option("--allow-http", "allow fetching the key set over plain HTTP from another host")
    .option("--json", "print the checks as JSON")
    .addHelpText(
      "after",
      `
Exit status: 0 if accepted, 1 if rejected or not verifiable
${examples(
  'echo "$TOKEN" | countersign explain -',
  'echo "$TOKEN" | countersign explain - --jwks http://localhost:3567/.well-known/jwks-all.json \\',
  "    --audience inventory --allow orders",
)}`,
    )
    .action((token: string, flags: ExplainFlags) => reportErrors(cli, () => explain(cli, token, flags)));
}

async function explain(cli: CliProcess, given: string, flags: ExplainFlags): Promise<void> {
  const token = given === "-" ? (await text(cli.stdin)).trim() : given;
  if (/^Bearer\s/i.test(token)) {
    throw new AdminError('expected a token, got an Authorization header value; remove the "Bearer" prefix');
  }
  if (isWrittenAsCredential(token)) {
    throw new AdminError("expected a token, got a service credential (cs_…); credentials are secret");
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
    print(cli, `\n${pc.red("rejected")}  ${failed}: ${meaningOf(failed)}`);
    if (failed === "audience_mismatch" && flags.audience === undefined) {
      print(cli, "The token has an audience; pass --audience NAME with a name of the called service");
    }
  } else if (allowed === true) {
    print(cli, `\n${pc.green("accepted")}  a verifier with these options accepts the token`);
  } else {
    print(cli, `\n${pc.yellow("not verified")}  no error found; pass --jwks URL to verify the signature`);
  }
}

function optionsOf({ jwks, issuer, audience, scope, allow, require, allowHttp }: ExplainFlags): VerifierOptions {
  const options: VerifierOptions = { allowHttp: allowHttp === true };
  if (jwks !== undefined) options.jwksUri = jwks;
  if (issuer !== undefined) options.issuer = issuer;
  if (audience !== undefined) options.audience = audience;
  if (scope !== undefined) options.scope = scope.join(" ");
  if (allow !== undefined) options.allow = allow;
  if (require !== undefined) {
    options.requiredClaims = Object.fromEntries(
      require.map((pair) => {
        const [, name, value] = /^([^=]+)=(.*)$/.exec(pair) ?? [];
        if (name === undefined || value === undefined)
          throw new AdminError(`--require: expected claim=value, got ${quote(pair)}`);
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
