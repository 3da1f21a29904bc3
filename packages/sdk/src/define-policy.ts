/** Who may call whom in an app, as `countersign policy apply` takes it. */
export interface PolicyDocument {
  readonly services: Readonly<Record<string, PolicyEntry>>;
}

export interface PolicyEntry {
  /** What the service may ask for, by the name of whom it calls. `[]`: it may call, and has no scope there. */
  readonly calls?: Readonly<Record<string, readonly string[]>>;
  /** All that the service can be asked for. Default: whatever its callers list. */
  readonly scopes?: readonly string[];
  /** As a callee: what the policy lacks is allowed, and counted. Default false. */
  readonly reportOnly?: boolean;
}

type Services = PolicyDocument["services"];

/** What a service can be asked for. */
type ScopeOf<S extends PolicyEntry | undefined> = S extends { readonly scopes: readonly (infer Scope)[] }
  ? Scope
  : string;

/** The same services, where each call is of a service that is declared, for scopes that it has. */
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
 * A policy in TypeScript: a service that is not declared, or a scope that its callee does not list, does not compile.
 * At run time it is what was given; the core checks it again, against the services that are registered.
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
