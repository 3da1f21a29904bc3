import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { normalizeAppId, problemOfNewAppId } from "../../../src/domain/apps/app.ts";

describe("app ids", () => {
  it("are compared in lower case, without surrounding spaces", () => {
    expect(normalizeAppId(" ShOp-1\n")).toBe("shop-1");
  });

  for (const [id, problem] of [
    ["public", undefined],
    ["a", undefined],
    ["-", undefined],
    ["appid", undefined],
    ["my-appid-x", undefined],
    ["x".repeat(64), undefined],
    ["", "appId should not be an empty String"],
    ["appid-", "appId must not start with 'appid-'"],
    ["appid-x", "appId must not start with 'appid-'"],
    ["x".repeat(65), "appId must not be longer than 64 characters"],
    ["A", "appId can only contain letters, numbers and hyphens"],
    ["a_b", "appId can only contain letters, numbers and hyphens"],
    ["a\n", "appId can only contain letters, numbers and hyphens"],
    ["\u0131", "appId can only contain letters, numbers and hyphens"],
  ] as const) {
    it(`${JSON.stringify(id).slice(0, 30)}: ${problem ?? "fine"} (H8)`, () => {
      expect(problemOfNewAppId(id)).toBe(problem);
    });
  }

  it("contain only letters, digits and hyphens if they are accepted, for any input (H8)", () => {
    const anything = fc.oneof(fc.string({ unit: "binary" }), fc.string({ unit: fc.constantFrom(..."aZ0-_. /'\n\0") }));
    fc.assert(
      fc.property(anything, (text) => {
        const id = normalizeAppId(text);
        const accepted = problemOfNewAppId(id) === undefined;
        expect(accepted).toBe(/^[a-z0-9-]{1,64}$/.test(id) && !id.startsWith("appid-"));
        if (accepted) expect(normalizeAppId(id)).toBe(id);
      }),
    );
  });

  it("rejects letters whose lower case is an ASCII letter", () => {
    for (const id of ["\u212a8s", "\u0130stanbul"]) {
      expect(problemOfNewAppId(normalizeAppId(id))).toBe("appId can only contain letters, numbers and hyphens");
    }
  });
});
