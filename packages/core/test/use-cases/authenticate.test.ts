import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createAuthenticate } from "../../src/use-cases/authenticate.ts";
import { ADMIN_KEY, API_KEY, OTHER_API_KEY } from "../support/core.ts";

describe("authenticate", () => {
  const both = createAuthenticate([API_KEY, OTHER_API_KEY], [ADMIN_KEY]);

  it("knows each key by its kind (S1, S2)", () => {
    expect([API_KEY, OTHER_API_KEY, ADMIN_KEY].map(both)).toEqual(["api-key", "api-key", "admin-key"]);
  });

  it("knows nothing else: no prefix, no case, no blank, no list, no absence (S1)", () => {
    const almost = [
      "",
      " ",
      `${API_KEY} `,
      API_KEY.slice(1),
      `${API_KEY}x`,
      API_KEY.toUpperCase(),
      `${API_KEY},${ADMIN_KEY}`,
      "\0",
    ];
    expect([...almost, undefined].map(both)).toEqual(Array(almost.length + 1).fill(undefined));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: "binary" })), (text) => {
        fc.pre(![API_KEY, OTHER_API_KEY, ADMIN_KEY].includes(text));
        expect(both(text)).toBeUndefined();
      }),
    );
  });

  it("lets everybody in as nobody only while no API key is configured (S7)", () => {
    const open = createAuthenticate([], [ADMIN_KEY]);
    expect([undefined, "anything", ADMIN_KEY].map(open)).toEqual(["anonymous", "anonymous", "admin-key"]);
  });
});
