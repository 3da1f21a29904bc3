import { describe, expect, it } from "vitest";
import { problemOfServiceName } from "../../../src/domain/services/service.ts";

describe("a service's name", () => {
  it.each(["a", "orders", "orders-2", "o--2", "x9", "a".repeat(63)])("accepts %s", (name) => {
    expect(problemOfServiceName(name)).toBeUndefined();
  });

  it.each([
    ...["", "-a", "a-", "2a", "Orders", "or ders", "or_ders", "or.ders", "orders\n", "\norders", "ordérs", "a\0b"],
    ...["a".repeat(64), "../a", "a/b", "a%20b", "'; drop table services; --", "<img src=x>"],
  ])("rejects %j (H8, H9)", (name) => {
    const problem = problemOfServiceName(name);
    expect(problem).toMatch(/1 to 63/);
    if (name.length > 3) expect(problem).not.toContain(name);
  });
});
