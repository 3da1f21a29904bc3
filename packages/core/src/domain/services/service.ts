import { isServiceName } from "countersign/protocol";

/** A microservice that is known by name, and what it may call stands in the policy. */
export interface Service {
  readonly appId: string;
  /** `sub` of its tokens, and `aud` of those that are for it. */
  readonly name: string;
  /** Milliseconds since the epoch by the store's clock, as all dates here. */
  readonly createdAt: number;
  /** Since when none of its credentials is good; null: they are. */
  readonly disabledAt: number | null;
}

/** Services of an app. Each of them is in every instance's memory. */
export const MAX_SERVICES = 10_000;

/** Why a service may not be called so; undefined: it may. */
export function problemOfServiceName(name: string): string | undefined {
  if (isServiceName(name)) return undefined;
  return "a service's name has 1 to 63 of the characters a-z 0-9 -, begins with a letter and ends with a letter or digit";
}
