/** The service-to-service policy of an app, as `countersign policy apply` takes it. */
export interface PolicyDocument {
  readonly services: Readonly<Record<string, PolicyEntry>>;
}

export interface PolicyEntry {
  /** The scopes that the service can request, by the name of the called service. `[]`: it can call, without scopes. */
  readonly calls?: Readonly<Record<string, readonly string[]>>;
  /** All scopes of the service. Default: the scopes that its callers list. */
  readonly scopes?: readonly string[];
  /** As a called service: allow and count calls that the policy does not grant. Default false. */
  readonly reportOnly?: boolean;
}

type Services = PolicyDocument["services"];

/** The scopes of a service. */
type ScopeOf<S extends PolicyEntry | undefined> = S extends { readonly scopes: readonly (infer Scope)[] }
  ? Scope
  : string;

/** The same services, if every call names a declared service and scopes of that service. */
type Checked<S extends Services> = {
  readonly [Name in keyof S]: {
    readonly [Field in keyof S[Name]]: Field extends "calls"
      ? { readonly [Callee in keyof S[Name]["calls"]]: Callee extends keyof S ? readonly ScopeOf<S[Callee]>[] : never }
      : Field extends keyof PolicyEntry
        ? S[Name][Field]
        : never;
  };
};

/**
 * Defines a policy in TypeScript. An undeclared service, or a scope that the called service does not list, does not compile.
 * Returns the policy unchanged; the core checks it again, against the registered services.
 *
 * @example
 * const policy = definePolicy({
 *   services: {
 *     orders: { calls: { inventory: ["stock:read", "stock:reserve"] } },
 *     inventory: { scopes: ["stock:read", "stock:reserve"] },
 *   },
 * });
 * console.log(JSON.stringify(policy)); // node policy.ts | npx countersign policy apply --yes -
 */
export function definePolicy<const S extends Services>(policy: { readonly services: S & Checked<S> }): PolicyDocument {
  return policy;
}
