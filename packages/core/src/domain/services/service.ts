import { isServiceName } from "countersign/protocol";

/** A registered microservice. The policy defines what it can call. */
export interface Service {
  readonly appId: string;
  /** The `sub` of its tokens, and the `aud` of tokens for it. */
  readonly name: string;
  /** Milliseconds since the epoch by the store's clock, as all dates here. */
  readonly createdAt: number;
  /** When it was disabled, which invalidates its credentials; null: it is enabled. */
  readonly disabledAt: number | null;
}

/** Per app. Every instance keeps all services in memory. */
export const MAX_SERVICES = 10_000;

/** Returns why the service name is invalid, or undefined if it is valid. */
export function problemOfServiceName(name: string): string | undefined {
  if (isServiceName(name)) return undefined;
  return "a service name has 1 to 63 characters from a-z 0-9 -, starts with a letter and ends with a letter or digit";
}
