// Checks that the catalogs of security cases and reliability promises match the tests: every ID in a test title has a row,
// and every row has a test, or a status that says why it has none. Prints every violation and exits with status 1 if
// there is one.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

const CATALOGS = ["docs/security-cases.md", "docs/reliability.md"];
const TESTS = ["packages/sdk/test", "packages/core/test", "test"];
/** Not a part of a word: `ES256`, `P-256` and hex digits are no IDs. */
const ID = /(?<![\w-])[TCVKHSDLR]\d{1,2}(?![\w-])/g;
/** Of rows that have no test yet. */
const NOT_BUILT = "not built yet";

/** @type {Map<string, { place: string, status: string }>} */
const rows = new Map();
/** @type {string[]} */
const violations = [];
for (const catalog of CATALOGS) readCatalog(catalog);

const used = usedIds();
for (const [id, place] of used) {
  if (!rows.has(id)) violations.push(`${place}: ${id} is in no catalog; add a row to ${CATALOGS.join(" or ")}`);
}
for (const [id, { place, status }] of rows) {
  if (!used.has(id) && status === "") violations.push(`${place}: ${id} has neither a test nor a status`);
  if (used.has(id) && status.startsWith(NOT_BUILT)) {
    violations.push(`${place}: ${id} is "${NOT_BUILT}", but ${used.get(id)} tests it; remove or correct the status`);
  }
}
for (const violation of violations) console.error(violation);
if (violations.length > 0) process.exit(1);
console.log(`catalog: ${rows.size} rows, ${used.size} of them tested`);

/** Reads the rows of a page's tables; the status is the last column. @param {string} catalog */
function readCatalog(catalog) {
  for (const [i, line] of readFileSync(join(root, catalog), "utf8").split("\n").entries()) {
    const cells = line.split("|").map((cell) => cell.trim());
    const id = cells[1] ?? "";
    if (id.replace(ID, "") !== "" || id === "") continue;
    const place = `${catalog}:${i + 1}`;
    if (rows.has(id)) violations.push(`${place}: ${id} has a row already`);
    rows.set(id, { place, status: cells.at(-2) ?? "" });
  }
}

/** @returns {Map<string, string>} every ID that a test title has, and where the first of them is */
function usedIds() {
  /** @type {Map<string, string>} */
  const ids = new Map();
  for (const folder of TESTS) {
    for (const file of readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts")) continue;
      const path = join(folder, file);
      const source = ts.createSourceFile(path, readFileSync(join(root, path), "utf8"), ts.ScriptTarget.Latest, true);
      for (const { text, line } of titlesIn(source)) {
        for (const [id] of text.matchAll(ID)) if (!ids.has(id)) ids.set(id, `${path}:${line}`);
      }
    }
  }
  return ids;
}

/** @param {ts.SourceFile} source @returns {{ text: string, line: number }[]} */
function titlesIn(source) {
  /** @type {{ text: string, line: number }[]} */
  const titles = [];
  /** @param {ts.Node} node @param {boolean} inTitle */
  const visit = (node, inTitle) => {
    if (ts.isCallExpression(node) && isTest(node)) {
      visit(node.expression, inTitle);
      for (const argument of node.arguments) visit(argument, !ts.isFunctionLike(argument));
      return;
    }
    const text = textOf(node);
    // The rows of a table outside of the call end with their IDs in parentheses.
    const found = inTitle ? text : /\([^()]*\)$/.exec(text)?.[0];
    if (found) titles.push({ text: found, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 });
    ts.forEachChild(node, (child) => visit(child, inTitle));
  };
  visit(source, false);
  return titles;
}

/** Reports whether a call is `it(...)`, `test.each(...)`, `describeOnPostgres(...)` and so on. @param {ts.CallExpression} call */
function isTest(call) {
  /** @type {ts.Node} */
  let callee = call.expression;
  while (ts.isPropertyAccessExpression(callee) || ts.isCallExpression(callee)) callee = callee.expression;
  return ts.isIdentifier(callee) && /^(it|test|describe)(?![a-z])/.test(callee.text);
}

/** @param {ts.Node} node @returns {string} the literal's own text; empty for any other node */
function textOf(node) {
  const isTemplatePart = ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
  return ts.isStringLiteralLike(node) || isTemplatePart ? node.text : "";
}
