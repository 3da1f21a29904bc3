import { expect, it } from "vitest";
import { definePolicy } from "../src/index.ts";

it("returns its argument, which is JSON", () => {
  const document = {
    services: { orders: { calls: { inventory: ["stock:read"] } }, inventory: { reportOnly: true } },
  } as const;
  const policy = definePolicy(document);
  expect(policy).toBe(document);
  expect(JSON.parse(JSON.stringify(policy))).toEqual(document);
});
