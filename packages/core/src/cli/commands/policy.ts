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
import { appCommand, basePath, readInput, type AppFlags } from "../terminal/app-command.ts";
import { confirm, print, printable, printTable } from "../terminal/output.ts";
import { safe } from "./explain.ts";

const FILE = "the policy, in YAML or JSON; - reads it from standard input";

export function policyCommand(cli: CliProcess): Command {
  return new Command("policy")
    .description("Who may call whom: show, diff, apply, test, report, versions.")
    .addCommand(
      appCommand("show", "Print the policy in force.")
        .argument("[version]", "or one that was applied before")
        .action(show(cli)),
    )
    .addCommand(
      appCommand("diff", "Show what applying a policy would change.").argument("<file>", FILE).action(diff(cli)),
    )
    .addCommand(
      appCommand("apply", "Put a policy in force, whole. What it changes is shown first.")
        .argument("<file>", FILE)
        .option("--by <name>", "who applies it; without it, the admin key or the user of this machine is named")
        .option("--yes", "do not ask")
        .action(apply(cli)),
    )
    .addCommand(
      appCommand("test", "Say whether a call is allowed, and why.")
        .argument("<caller>")
        .argument("<callee>")
        .argument("[scope]")
        .addHelpText("after", "\nExit code: 0 where it is allowed, 1 where it is not.")
        .action(test(cli)),
    )
    .addCommand(appCommand("report", "Show what report-only services would have refused.").action(report(cli)))
    .addCommand(appCommand("versions", "List what was applied, by whom and when.").action(versions(cli)));
}

const policyPath = (flags: AppFlags) => `${basePath(flags.app)}/policy`;

const show = (cli: CliProcess) => (version: string | undefined, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const path = version === undefined ? "" : `/versions/${encodeURIComponent(version)}`;
    const answer = await client.call<{ policy: PolicyView | null }>("GET", policyPath(flags) + path);
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    const { policy } = answer;
    if (policy === null) throw new AdminError(`no policy has been applied in app ${flags.app}`);
    const { appliedAt, appliedBy } = policy;
    print(cli, pc.dim(`# version ${policy.version}, applied ${printable(appliedAt)} by ${safe(appliedBy)}`));
    print(cli, yamlOf(policy.document));
  });

const diff = (cli: CliProcess) => (file: string, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const answer = await compare(client, file, await readInput(cli, file), flags);
    if (flags.json === true) print(cli, JSON.stringify({ diff: answer }, undefined, 2));
    else showChanges(cli, answer.changes);
  });

const apply = (cli: CliProcess) => (file: string, flags: AppFlags & { by?: string }) =>
  administer(cli, flags, async (client) => {
    const text = await readInput(cli, file);
    const { version, changes } = await compare(client, file, text, flags);
    if (flags.json !== true) showChanges(cli, changes);
    if (version === 0 || changes.length > 0) await confirm(cli, warningOf(version, flags.app), flags.yes);
    const by = flags.by ?? (client.isLocal ? localUser() : undefined);
    const body = { text, expectedVersion: version, ...(by === undefined ? {} : { by }) };
    const answer = await client.call<{ applied: PolicyVersionView }>("PUT", policyPath(flags), body);
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    print(cli, `version ${answer.applied.version} is in force in app ${flags.app}`);
  });

function warningOf(version: number, app: string): string {
  const what =
    version === 0 ? `This is the first policy of app ${app}` : `This replaces version ${version} in app ${app}`;
  return `${what}. New tokens follow it within 6 s; older ones live until they expire.`;
}

/** What the core finds in the text, or where it is wrong. */
async function compare(client: AdminClient, file: string, text: string, flags: AppFlags): Promise<PolicyDiff> {
  try {
    return (await client.call<{ diff: PolicyDiff }>("POST", `${policyPath(flags)}/diff`, { text })).diff;
  } catch (error) {
    if (!(error instanceof AdminError) || error.mistakes.length === 0) throw error;
    const name = file === "-" ? "standard input" : file;
    const lines = error.mistakes.flatMap((mistake) => shownMistake(name, text, mistake));
    throw new AdminError(lines.join("\n"));
  }
}

/** Characters before a mistake that are shown of its line, and in all. */
const BEFORE = 60;
const WIDTH = 100;

function shownMistake(name: string, text: string, { line, column, message }: PolicyMistake): string[] {
  const whole = (text.split("\n")[line - 1] ?? "").replaceAll("\t", " ").trimEnd();
  const from = Math.max(0, column - 1 - BEFORE);
  const place = `${name}:${line}:${column}: ${safe(message)}`;
  if (whole === "") return [place]; // such as a policy without a word
  return [place, `  ${safe(whole.slice(from, from + WIDTH))}`, `  ${" ".repeat(column - 1 - from)}${pc.red("^")}`];
}

function showChanges(cli: CliProcess, changes: readonly PolicyChange[]): void {
  if (changes.length === 0) return print(cli, "the same as the policy in force");
  for (const change of changes) {
    print(cli, change.change === "added" ? pc.green(`+ ${wordsOf(change)}`) : pc.red(`- ${wordsOf(change)}`));
  }
}

function wordsOf(change: PolicyChange): string {
  switch (change.kind) {
    case "service":
      return change.service;
    case "report-only":
      return `${change.service} is report-only`;
    case "scope-list":
      return `${change.service} lists its scopes`;
    case "listed-scope":
      return `${change.service} lists ${change.scope}`;
    case "call":
      return `${change.caller} may call ${change.callee}`;
    case "scope":
      return `${change.caller} may ask ${change.callee} for ${change.scope}`;
  }
}

const test = (cli: CliProcess) => (caller: string, callee: string, scope: string | undefined, flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const body = { caller, callee, ...(scope === undefined ? {} : { scope }) };
    const answer = await client.call<{ test: CallExplanation }>("POST", `${policyPath(flags)}/test`, body);
    const { allowed, reported, why } = answer.test;
    if (!allowed) cli.exitCode = 1;
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    const colour = reported ? pc.yellow : pc.green;
    print(cli, `${allowed ? colour("allowed") : pc.red("refused")}  ${why}`);
  });

const report = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const answer = await client.call<{ calls: ReportView[] }>("GET", `${policyPath(flags)}/report`);
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    printTable(
      cli,
      ["caller", "callee", "scope", "would be refused", "first", "last"],
      answer.calls.map(({ caller = "(others)", callee = "(others)", scope, count, firstAt, lastAt }) => [
        ...[caller, callee, safe(scope ?? "-"), String(count)],
        ...[printable(firstAt), printable(lastAt)],
      ]),
    );
  });

const versions = (cli: CliProcess) => (flags: AppFlags) =>
  administer(cli, flags, async (client) => {
    const answer = await client.call<{ versions: PolicyVersionView[] }>("GET", `${policyPath(flags)}/versions`);
    if (flags.json === true) return print(cli, JSON.stringify(answer, undefined, 2));
    printTable(
      cli,
      ["version", "applied", "by"],
      answer.versions.map((one) => [String(one.version), printable(one.appliedAt), safe(one.appliedBy)]),
    );
  });

/** As people write it: lists of scopes in one line. */
function yamlOf(document: object): string {
  const yaml = new Document(document);
  visit(yaml, (_, node) => {
    if (isSeq(node)) node.flow = true;
  });
  return yaml.toString({ lineWidth: 0, flowCollectionPadding: false }).trimEnd();
}

function localUser(): string {
  try {
    return `${userInfo().username}, where the store is`;
  } catch {
    return "somebody where the store is"; // whom the system has no name for
  }
}
