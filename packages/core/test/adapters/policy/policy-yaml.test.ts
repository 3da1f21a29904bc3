// Reading policies from YAML and JSON, and the position of each error.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { stringify } from "yaml";
import { readPolicyYaml } from "../../../src/adapters/policy/policy-yaml.ts";
import { documentOf, MAX_POLICY_BYTES } from "../../../src/domain/policy/policy-document.ts";
import { document, NAMES, rotationPolicyOf } from "../../support/policies.ts";

const registered = new Set([...NAMES, "stock"]);

/** Each error as `line:column message`. */
function mistakesIn(text: string, known: ReadonlySet<string> = registered): string[] {
  const read = readPolicyYaml(text, known);
  return read.ok ? [] : read.mistakes.map(({ line, column, message }) => `${line}:${column} ${message}`);
}
function documentIn(text: string) {
  const found = readPolicyYaml(text, registered);
  if (!found.ok) throw new Error(JSON.stringify(found.mistakes));
  return documentOf(found.policy);
}

describe("reading a policy", () => {
  const whole = {
    services: { orders: { calls: { inventory: ["stock:read", "stock:reserve"] } }, inventory: { reportOnly: true } },
  };
  it.each([
    [
      "in YAML",
      "services:\n  orders:\n    calls:\n      inventory: [stock:read, stock:reserve]\n  inventory: { reportOnly: true }\n",
    ],
    [
      "in YAML of long lists, with comments",
      "---\n# who calls whom\nservices:\n  orders:\n    calls:\n      inventory: # both\n      - stock:read\n      - 'stock:reserve'\n  inventory:\n    reportOnly: true\n...\n",
    ],
    [
      "with the line ends of Windows and a byte order mark",
      "\ufeffservices:\r\n  orders: { calls: { inventory: [stock:read, stock:reserve] } }\r\n  inventory: { reportOnly: true }\r\n",
    ],
    ["in JSON of one line", JSON.stringify(whole)],
    ["in JSON with tabs", JSON.stringify(whole, undefined, "\t")],
  ])("%s", (_, text) => {
    expect(documentIn(text)).toEqual(whole);
  });

  it("accepts quoted scopes that begin with a YAML indicator", () => {
    const scopes = ["&a", "*b", "!c", "%d", "[e", "{f", "|", "<<", "true", "1"];
    expect(documentIn(JSON.stringify({ services: { stock: { scopes } } }))).toEqual({
      services: { stock: { scopes } },
    });
    expect(documentIn(stringify({ services: { stock: { scopes } } }))).toEqual({ services: { stock: { scopes } } });
  });

  it("gets the same policy from YAML, JSON and plain data, for any policy", () => {
    fc.assert(
      fc.property(document, (data) => {
        const expected = documentOf(rotationPolicyOf(data));
        for (const text of [
          stringify(data, undefined, { aliasDuplicateObjects: false }),
          JSON.stringify(data),
          JSON.stringify(data, undefined, 2),
        ]) {
          expect(documentIn(text)).toEqual(expected);
        }
      }),
    );
  });
});

describe("an error has its line and column", () => {
  it.each([
    ["services:\n  orders: {}\n  ghost: {}\n", '3:3 service "ghost" is not registered in this app'],
    ["services:\n  orders:\n    calls:\n      billing: []\n", '4:7 "billing" is not declared in services'],
    [
      "services:\n  orders:\n    calls:\n      orders: [a, stock read]\n",
      "4:19 a scope cannot contain spaces; write each scope as its own list item",
    ],
    ["services:\n  orders:\n    calls:\n      orders:\n      - a\n      - a\n", "6:9 duplicate scope"],
    ["services:\n  orders:\n    call: {}\n", "3:5 unknown field, expected calls, scopes or reportOnly"],
    ["services:\n  orders: {}\n  orders: {}\n", "3:3 duplicate name"],
    ['{"services": {"orders": {"reportOnly": true, "reportOnly": false}}}', "1:46 duplicate name"],
    ['{"services": {"stock": {}, "orders": {"calls": {"stock": [7]}}}}', "1:59 expected a scope; put it in quotes"],
    ["services:\n  orders:\n", "2:10 expected names with values, or {} for none"],
    ["services:\n  1: {}\n", "2:3 expected a name; put it in quotes"],
    ["services:\n  ? [a]\n  : {}\n", "2:5 expected a name; put it in quotes"],
    [
      "services:\n  stock:\n    scopes: [a]\n  orders:\n    calls:\n      stock: [a, b]\n",
      '6:18 "stock" does not list this scope in its scopes',
    ],
    ["", "1:1 services: missing"],
    ["# nothing yet\n", "1:1 services: missing"],
    ["services", "1:1 expected names with values, or {} for none"],
    // Errors of the YAML parser, in its own words.
    ["services:\n\torders: {}\n", "2:1 Tabs are not allowed as indentation"],
    ["services: {}\n}", "2:1 Unexpected flow-map-end token in YAML stream"],
    ["services: {orders: {scopes: ['a, b]}}", "1:38 Missing closing 'quote"],
    ["a: b: c", "1:4 Nested mappings are not allowed in compact mappings"],
  ])("%j", (text, mistake) => {
    expect(mistakesIn(text)).toEqual([mistake]);
  });

  it("reports all errors, in the order of the text", () => {
    const text =
      "services:\n  orders:\n    calls:\n      stock: [a b]\n      ghost: []\n    reportOnly: 1\n  ghost: {}\nrest: 1\n";
    expect(mistakesIn(text).map((mistake) => /^[\d:]+/.exec(mistake)?.[0])).toEqual([
      "4:7",
      "4:15",
      "6:17",
      "7:3",
      "8:1",
    ]);
  });

  it("reports only the first 20 errors", () => {
    const names = Array.from({ length: 1_000 }, (_, i) => `  ghost-${i}: {}\n`);
    expect(mistakesIn(`services:\n${names.join("")}`)).toHaveLength(20);
  });
});

describe("rejects YAML features that expand or hide content, at their position", () => {
  it.each([
    ["services: &all {}\n", "1:11 anchors and aliases"],
    ["services:\n  orders: *all\n", "2:11 anchors and aliases"],
    ["? &key services\n: {}\n", "1:3 anchors and aliases"],
    ["services:\n  orders:\n    <<: { reportOnly: true }\n", "3:5 merge keys"],
    ["services: !!map {}\n", "1:11 tags"],
    ["services:\n  orders: !<tag:yaml.org,2002:js/function> {}\n", "2:11 tags"],
    ["services: ! {}\n", "1:11 tags"],
    ["%YAML 1.1\n---\nservices: {}\n", "1:1 directives"],
    ["%TAG ! tag:x,2000:\n---\nservices: {}\n", "1:1 directives"],
    ["services: {}\n---\nservices: {}\n", "2:1 expected a single document"],
    ["services: {__proto__: {}}\n", "1:12 a service"],
    ["services: {constructor: {}}\n", '1:12 "constructor" cannot be a service name'],
    ["services: {prototype: {}}\n", '1:12 "prototype" cannot be a service name'],
  ])("%j", (text, mistake) => {
    expect(mistakesIn(text, new Set([...registered, "constructor", "prototype"]))).toEqual([
      expect.stringMatching(new RegExp(`^${mistake}`)),
    ]);
  });

  it("rejects more than 256 KiB, counted in bytes", () => {
    const fill = (bytes: number) => `services: {}\n#${"é".repeat((bytes - 14) / 2)}`;
    expect(mistakesIn(fill(MAX_POLICY_BYTES))).toEqual([]);
    expect(mistakesIn(fill(MAX_POLICY_BYTES + 2))).toEqual(["1:1 larger than 262144 bytes"]);
  });

  it.each(["[", "{a: ", "- ", "? ", "a : ", '"a": ,', "[{b: "])(
    "rejects endless nesting by %j, which would crash the parser",
    (opening) => {
      expect(mistakesIn(opening.repeat(MAX_POLICY_BYTES / opening.length - 1))).toEqual([
        expect.stringMatching(/^1:\d+ nested too deep$/),
      ]);
    },
  );

  it("rejects deep nesting by indentation", () => {
    const deep = Array.from({ length: 700 }, (_, i) => `${" ".repeat(i)}a:`).join("\n");
    expect(mistakesIn(deep)).toEqual(["32:32 nested too deep"]);
  });
});

it("never throws, for any text", () => {
  const sign = fc.constantFrom(
    ..."{}[],:?-&*!%|>'\"#@`\n\t \\<ab1~",
    "services",
    "orders",
    "calls",
    "\r\n",
    "---\n",
    "...\n",
    "\0",
    "\u2028",
  );
  fc.assert(
    fc.property(fc.array(sign, { maxLength: 60 }), (signs) => {
      for (const text of [signs.join(""), `services:\n  orders:\n    calls: ${signs.join("")}`]) {
        for (const mistake of mistakesIn(text)) expect(mistake).toMatch(/^\d+:\d+ ./s);
      }
    }),
    { numRuns: 2_000 },
  );
});
