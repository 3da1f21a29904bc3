import { afterEach } from "vitest";
import { createCountersign, type Countersign, type CountersignConfig } from "../../src/instance/countersign.ts";
import { defaultInstance, setDefaultInstance } from "../../src/instance/default-instance.ts";
import jwt, { type JwtRecipeConfig } from "../../src/recipe-jwt.ts";

export const appInfo = {
  appName: "orders",
  apiDomain: "http://localhost:4001",
  websiteDomain: "http://localhost:3000",
};

const instances = new Set<Countersign>();
afterEach(async () => {
  for (const instance of instances) await instance.close();
  instances.clear();
});

/** An instance with the recipe, closed after the test. */
export function instanceAt(
  connectionURI: string,
  recipe: JwtRecipeConfig = {},
  core: Partial<NonNullable<CountersignConfig["core"]>> = {},
): Countersign {
  return closingInstance(
    createCountersign({ appInfo, core: { connectionURI, ...core }, recipeList: [jwt.init(recipe)] }),
  );
}

export function closingInstance(instance: Countersign): Countersign {
  instances.add(instance);
  return instance;
}

/** Deletes the instance that `init` created, as in a new process. */
export async function forgetDefaultInstance(): Promise<void> {
  await defaultInstance()?.close();
  setDefaultInstance(undefined);
}
