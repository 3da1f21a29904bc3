import { userInfo } from "node:os";
import { Command } from "commander";
import pc from "picocolors";
import { Document, isSeq, visit } from "yaml";
import type { PolicyChange } from "../../domain/policy/policy-diff.ts";
import type { CallExplanation } from "../../domain/policy/policy-explanation.ts";
import type { PolicyDiff, PolicyVersionView, PolicyView, ReportView } from "../../use-cases/policy/manage-policy.ts";
import type { PolicyMistake } from "../../ports/policy-text.ts";
import { AdminError, administer, type AdminClient } from "../client/admin-client.ts";
import type { CliProcess } from "../process/cli-process.ts";
import { quote, safe } from "../process/quote.ts";
import { appCommand, basePath, examples, readInput, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";

const FILE = "policy file (YAML or JSON), or - for stdin";

export function policyCommand(cli: CliProcess): Command {
  return new Command("policy")
    .description("Manage which service can call which")
    .addHelpText("after", examples("countersign policy apply policy.yaml", "countersign policy test orders inventory"))
    .addCommand(
      appCommand("show", "Print the current policy")
        .argument("[version]", "version to print (default: current)")
        .addHelpText("after", examples("countersign policy show", "countersign policy show 3"))
        .action(show(cli)),
    )
    .addCommand(
      appCommand("diff", "Show what applying a policy file would change")
        .argument("<file>", FILE)
        .addHelpText(
          "after",
          examples("countersign policy diff policy.yaml", "countersign policy diff - < policy.yaml"),
        )
        .action(diff(cli)),
    )
    .addCommand(
      appCommand("apply", "Show the changes and apply a policy file")
        .argument("<file>", FILE)
        .option("--by <name>", "name to record in the version history (default: the admin key or the local user)")
        .option("--yes", "skip the confirmation prompt")
        .addHelpText(
          "after",
          examples(
            "countersign policy apply policy.yaml",
            "countersign policy apply policy.yaml --yes --by 'deploy 42'",
          ),
        )
        .action(apply(cli)),
    )
    .addCommand(
      appCommand("test", "Check whether a call is allowed and why")
        .argument("<caller>", "service that calls")
        .argument("<callee>", "service that is called")
        .argument("[scope]", "scope that the caller requests")
        .addHelpText(
          "after",
          `
Exit status: 0 if allowed, 1 if not
${examples("countersign policy test orders inventory", "countersign policy test orders inventory stock:read")}`,
        )
        .action(test(cli)),
    )
    .addCommand(
      appCommand("report", "Show calls allowed only because the called service is report-only")
        .addHelpText("after", examples("countersign policy report", "countersign policy report --app shop --json"))
        .action(report(cli)),
    )
    .addCommand(
      appCommand("versions", "List applied versions")
        .addHelpText("after", examples("countersign policy versions", "countersign policy versions --json"))
        .action(versions(cli)),
    );
}

const policyPath = (flags: AppFlags) => `${basePath(flags.app)}/policy`;

const show = (cli: CliProcess) => (version: string | undefined, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const path = version === undefined ? "" : `/versions/${encodeURIComponent(version)}`;
    const response = await client.call<{ policy: PolicyView | null }>("GET", policyPath(flags) + path);
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    const { policy } = response;
    if (policy === null) throw new AdminError(`app ${quote(flags.app)} has no policy`);
    const { appliedAt, appliedBy } = policy;
    print(cli, pc.dim(`# version ${policy.version}, applied ${printable(appliedAt)} by ${safe(appliedBy)}`));
    print(cli, yamlOf(policy.document));
  });

const diff = (cli: CliProcess) => (file: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const response = await compare(client, file, await readInput(cli, file), flags);
    if (flags.json === true) print(cli, JSON.stringify({ diff: response }, undefined, 2));
    else showChanges(cli, response.changes);
  });

const apply = (cli: CliProcess) => (file: string, flags: AppFlags & { by?: string }) =>
  administer(cli, flags, async (client) => {
    const text = await readInput(cli, file);
    const { version, changes } = await compare(client, file, text, flags);
    if (flags.json !== true) showChanges(cli, changes);
    if (version === 0 || changes.length > 0) await confirm(cli, warningOf(version, flags.app), flags.yes);
    const by = flags.by ?? (client.isLocal ? localUser() : undefined);
    const body = { text, expectedVersion: version, ...(by === undefined ? {} : { by }) };
    const response = await client.call<{ applied: PolicyVersionView }>("PUT", policyPath(flags), body);
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    print(cli, `version ${response.applied.version} is now current in app ${flags.app}`);
  });

function warningOf(version: number, app: string): string {
  const effect =
    version === 0 ? `This is the first policy of app ${app}` : `This replaces version ${version} in app ${app}`;
  return `${effect}. It applies to new tokens within 6 s; existing tokens remain valid until they expire.`;
}

/** @throws AdminError that shows each error in the policy with its line */
async function compare(client: AdminClient, file: string, text: string, flags: AppFlags): Promise<PolicyDiff> {
  try {
    return (await client.call<{ diff: PolicyDiff }>("POST", `${policyPath(flags)}/diff`, { text })).diff;
  } catch (error) {
    if (!(error instanceof AdminError) || error.mistakes.length === 0) throw error;
    const name = file === "-" ? "stdin" : file;
    const lines = error.mistakes.flatMap((mistake) => formatMistake(name, text, mistake));
    throw new AdminError(lines.join("\n"));
  }
}

/** Characters to show of a line with an error: before the error, and in total. */
const BEFORE = 60;
const WIDTH = 100;

function formatMistake(name: string, text: string, { line, column, message }: PolicyMistake): string[] {
  const whole = (text.split("\n")[line - 1] ?? "").replaceAll("\t", " ").trimEnd();
  const from = Math.max(0, column - 1 - BEFORE);
  const place = `${name}:${line}:${column}: ${safe(message)}`;
  if (whole === "") return [place]; // for example an empty policy
  return [place, `  ${safe(whole.slice(from, from + WIDTH))}`, `  ${" ".repeat(column - 1 - from)}${pc.red("^")}`];
}

function showChanges(cli: CliProcess, changes: readonly PolicyChange[]): void {
  if (changes.length === 0) return print(cli, "no changes");
  for (const change of changes) {
    print(cli, change.change === "added" ? pc.green(`+ ${describe(change)}`) : pc.red(`- ${describe(change)}`));
  }
}

function describe(change: PolicyChange): string {
  switch (change.kind) {
    case "service":
      return change.service;
    case "report-only":
      return `${change.service} is report-only`;
    case "scope-list":
      return `${change.service} declares its scopes`;
    case "listed-scope":
      return `${change.service} declares ${change.scope}`;
    case "call":
      return `${change.caller} can call ${change.callee}`;
    case "scope":
      return `${change.caller} can request ${change.scope} from ${change.callee}`;
  }
}

const test = (cli: CliProcess) => (caller: string, callee: string, scope: string | undefined, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const body = { caller, callee, ...(scope === undefined ? {} : { scope }) };
    const response = await client.call<{ test: CallExplanation }>("POST", `${policyPath(flags)}/test`, body);
    const { allowed, reported, why } = response.test;
    if (!allowed) cli.exitCode = 1;
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    const color = reported ? pc.yellow : pc.green;
    print(cli, `${allowed ? color("allowed") : pc.red("not allowed")}  ${why}`);
  });

const report = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const response = await client.call<{ calls: ReportView[] }>("GET", `${policyPath(flags)}/report`);
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    printTable(
      cli,
      ["caller", "callee", "scope", "count", "first", "last"],
      response.calls.map(({ caller = "(others)", callee = "(others)", scope, count, firstAt, lastAt }) => [
        caller,
        callee,
        safe(scope ?? "-"),
        String(count),
        printable(firstAt),
        printable(lastAt),
      ]),
    );
  });

const versions = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const response = await client.call<{ versions: PolicyVersionView[] }>("GET", `${policyPath(flags)}/versions`);
    if (flags.json === true) return print(cli, JSON.stringify(response, undefined, 2));
    printTable(
      cli,
      ["version", "applied", "by"],
      response.versions.map((one) => [String(one.version), printable(one.appliedAt), safe(one.appliedBy)]),
    );
  });

/** Formats a policy as YAML, with each list of scopes on one line. */
function yamlOf(document: object): string {
  const yaml = new Document(document);
  visit(yaml, (_, node) => {
    if (isSeq(node)) node.flow = true;
  });
  return yaml.toString({ lineWidth: 0, flowCollectionPadding: false }).trimEnd();
}

function localUser(): string {
  try {
    return `${userInfo().username} (local)`;
  } catch {
    return "unknown user (local)"; // the operating system has no name for the user ID
  }
}
