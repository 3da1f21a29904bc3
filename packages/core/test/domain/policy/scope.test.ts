import { expect, it } from "vitest";
import { problemOfScope, scopesIn } from "../../../src/domain/policy/scope.ts";

it("a scope follows RFC 6749 section 3.3, up to 128 characters", () => {
  for (const scope of ["a", "stock:read", "*", "!", "[]", "~", "a,b", "x".repeat(128)]) {
    expect(problemOfScope(scope)).toBeUndefined();
  }
  for (const scope of ["", " ", "a b", "a\t", "\u00a0", '"', "a\\b", "\x7f", "\0", "é", "\u{1f511}", "x".repeat(129)]) {
    expect(problemOfScope(scope)).toEqual(expect.any(String));
  }
});

it("a list of scopes has single spaces between them, and duplicates count once", () => {
  expect(scopesIn("a b a")).toEqual(["a", "b"]);
  for (const list of ["", " ", "a ", " a", "a  b", "a\tb", 'a "b"']) expect(scopesIn(list)).toBeUndefined();
});
