import { afterEach, beforeEach, describe } from "vitest";
import { describeApps } from "./apps.ts";
import { describeClients } from "./clients.ts";
import { describeContent } from "./content.ts";
import { StoreFixture, type StorePlace, type StoreTraits } from "./fixture.ts";
import { describeKeys } from "./keys.ts";
import { describePolicies } from "./policies.ts";
import { describeRevocations } from "./revocations.ts";
import { describeServices } from "./services.ts";
import { describeTransactions } from "./transactions.ts";
import { describeWatching } from "./watching.ts";

/** Tests that every store must pass. Run once per adapter. */
export function describeStore(engine: string, traits: StoreTraits, newPlace: () => Promise<StorePlace>): void {
  describe(`${engine}: store contract`, () => {
    const fixture = new StoreFixture(traits, newPlace);
    beforeEach(() => fixture.setUp());
    afterEach(() => fixture.tearDown());

    describe("transactions", () => describeTransactions(fixture));
    describe("apps", () => describeApps(fixture));
    describe("keys", () => describeKeys(fixture));
    describe("revocations", () => describeRevocations(fixture));
    describe("policies", () => describePolicies(fixture));
    describe("services", () => describeServices(fixture));
    describe("keys and trusts of services", () => describeClients(fixture));
    describe("content", () => describeContent(fixture));
    describe("watching", () => describeWatching(fixture));
  });
}
