import {
  Composer,
  CST,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type Document,
  type Node,
  type YAMLMap,
} from "yaml";
import { MAX_POLICY_BYTES, readPolicy, type PolicyProblem } from "../../domain/policy/policy-document.ts";
import type { PolicyMistake, PolicyText } from "../../ports/policy-text.ts";

/** Reported at a time. */
const MAX_MISTAKES = 20;
/** A policy has 5 levels, and the parser counts some twice. Very deep recursion would crash the process. */
const MAX_DEPTH = 32;
/** Characters of a message: those of the parser can quote the input. */
const MAX_MESSAGE = 200;

const utf8 = new TextEncoder();

/** YAML features beyond plain data: they can expand a small text, or hide its meaning. */
const REFUSED: Readonly<Record<string, string>> = {
  anchor: "anchors and aliases are not allowed; repeat the content",
  alias: "anchors and aliases are not allowed; repeat the content",
  tag: "tags are not allowed",
  "directive-line": "directives are not allowed",
};

interface Mistake {
  readonly offset: number;
  readonly message: string;
}

/**
 * Reads a policy from YAML or JSON, which is a subset of YAML.
 *
 * @param registered the services that it can reference
 */
export function readPolicyYaml(text: string, registered: ReadonlySet<string>): PolicyText {
  if (utf8.encode(text).length > MAX_POLICY_BYTES) {
    const message = `larger than ${MAX_POLICY_BYTES} bytes`;
    return { ok: false, mistakes: [{ line: 1, column: 1, message }] };
  }
  const lines = new LineCounter();
  const { document, mistakes } = parse(text, lines);
  if (mistakes.length > 0) return { ok: false, mistakes: located(mistakes, lines) };

  // An empty file is an empty map.
  const data = document.contents === null ? {} : plainOf(document.contents, mistakes);
  const read = readPolicy(data, registered);
  if (!read.ok) {
    for (const { path, atName, problem } of read.problems.slice(0, MAX_MISTAKES)) {
      mistakes.push({ offset: offsetOf(document.contents, path, atName), message: problem });
    }
  }
  if (read.ok && mistakes.length === 0) return read;
  return { ok: false, mistakes: located(mistakes, lines) };
}

/** Parses the only document of the text. Stops at a forbidden feature, before it can expand. */
function parse(text: string, lines: LineCounter): { document: Document.Parsed; mistakes: Mistake[] } {
  const mistakes: Mistake[] = [];
  const composer = new Composer({ version: "1.2", schema: "core", merge: false, uniqueKeys: false });
  const [document, another] = composer.compose(checked(text, lines, mistakes), true, text.length);
  if (mistakes.length > 0) return { document: document!, mistakes };
  // Only the first, because the others are often its consequences.
  const [first] = [...document!.errors, ...document!.warnings];
  if (first !== undefined) mistakes.push({ offset: first.pos[0], message: first.message });
  else if (another !== undefined) mistakes.push({ offset: another.range[0], message: "expected a single document" });
  return { document: document!, mistakes };
}

/** Yields the tokens of the text, up to the first forbidden one. */
function* checked(text: string, lines: LineCounter, mistakes: Mistake[]): Generator<CST.Token> {
  const parser = new Parser(lines.addNewLine);
  lines.addNewLine(0);
  let isContent = false; // of a scalar, whose first character does not determine its type
  for (const lexeme of new Lexer().lex(text)) {
    const { offset } = parser;
    const type: CST.TokenType | null = isContent ? null : CST.tokenType(lexeme);
    isContent = type === "scalar";
    const refused = type === null ? undefined : REFUSED[type];
    if (refused !== undefined) return void mistakes.push({ offset, message: refused });
    for (const token of parser.next(lexeme)) {
      if (token.type === "error") return void mistakes.push({ offset: token.offset, message: token.message });
      yield token;
    }
    if (parser.stack.length > MAX_DEPTH) return void mistakes.push({ offset, message: "nested too deep" });
  }
  yield* parser.end();
}

/** Converts a node to objects without a prototype, lists and scalars. The first of duplicate names counts. */
function plainOf(node: Node | null, mistakes: Mistake[]): unknown {
  if (isScalar(node)) return node.value;
  if (isSeq<Node | null>(node)) return node.items.map((item) => plainOf(item, mistakes));
  if (!isMap<Node, Node | null>(node)) return null;
  const members = Object.create(null) as Record<string, unknown>;
  for (const { key, value } of node.items) {
    const name: unknown = isScalar(key) ? key.value : undefined;
    const offset = startOf(key);
    if (typeof name !== "string") mistakes.push({ offset, message: "expected a name; put it in quotes" });
    else if (name in members) mistakes.push({ offset, message: "duplicate name" });
    else if (name === "<<") mistakes.push({ offset, message: "merge keys are not allowed; repeat the content" });
    else members[name] = plainOf(value, mistakes);
  }
  return members;
}

/** Returns the position of an error, as far as its path exists in the text. */
function offsetOf(root: Node | null, path: PolicyProblem["path"], atName: boolean): number {
  let node = root;
  let offset = startOf(root);
  for (const [i, step] of path.entries()) {
    if (isSeq<Node | null>(node) && typeof step === "number") {
      node = node.items[step] ?? null;
    } else {
      const pair = isMap(node) ? pairOf(node, step) : undefined;
      if (pair === undefined) break;
      offset = startOf(pair.key);
      node = pair.value;
      if (atName && i === path.length - 1) return offset;
    }
    offset = node === null ? offset : startOf(node);
  }
  return offset;
}

function pairOf(map: YAMLMap, name: string | number): { key: Node; value: Node | null } | undefined {
  const pairs = map.items as { key: Node; value: Node | null }[];
  return pairs.find(({ key }) => isScalar(key) && key.value === name);
}

function startOf(node: Node | null): number {
  return node?.range?.[0] ?? 0;
}

function located(mistakes: readonly Mistake[], lines: LineCounter): PolicyMistake[] {
  const sorted = [...mistakes].sort((a, b) => a.offset - b.offset).slice(0, MAX_MISTAKES);
  return sorted.map(({ offset, message }) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col, message: message.slice(0, MAX_MESSAGE) };
  });
}
