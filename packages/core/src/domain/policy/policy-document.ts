import { isPlainObject } from "countersign/protocol";
import type { Policy, PolicyService } from "./policy.ts";
import { listOf, MAX_SCOPES, problemOfScope } from "./scope.ts";
import { problemOfServiceName } from "../services/service.ts";

/** A policy as it is written down and stored. */
export interface PolicyDocument {
  readonly services: Readonly<Record<string, ServiceEntry>>;
}

interface ServiceEntry {
  readonly calls?: Readonly<Record<string, readonly string[]>>;
  readonly scopes?: readonly string[];
  readonly reportOnly?: boolean;
}

/** An error in a document. */
export interface PolicyProblem {
  /** Names and list positions, from the root. */
  readonly path: readonly (string | number)[];
  /** Whether the error is in the last name of the path, and not in its value. */
  readonly atName: boolean;
  readonly problem: string;
}

export type ReadPolicy = { ok: true; policy: Policy } | { ok: false; problems: readonly PolicyProblem[] };

/** Of a policy as text. */
export const MAX_POLICY_BYTES = 262_144;
/** In a service's own list of scopes. */
const MAX_DECLARED_SCOPES = 1_000;

/** Valid by their characters, but unsafe as member names of plain objects. */
const PROTOTYPE_NAMES: ReadonlySet<string> = new Set(["constructor", "prototype"]);

/**
 * Reads a policy from plain data. Returns all errors if it is invalid. Pure.
 *
 * @param registered the registered services; undefined: do not check, as they were checked when the policy was applied
 */
export function readPolicy(data: unknown, registered?: ReadonlySet<string>): ReadPolicy {
  const reader = new Reader(registered);
  const policy = reader.document(data);
  return reader.problems.length === 0 ? { ok: true, policy } : { ok: false, problems: reader.problems };
}

type Path = readonly (string | number)[];

class Reader {
  readonly problems: PolicyProblem[] = [];
  readonly #registered: ReadonlySet<string> | undefined;

  constructor(registered: ReadonlySet<string> | undefined) {
    this.#registered = registered;
  }

  document(data: unknown): Policy {
    const services = new Map<string, PolicyService>();
    const { services: entries } = this.#fields(data, [], ["services"]);
    if (entries === undefined && isPlainObject(data)) this.#wrong([], "services: missing");
    if (entries !== undefined) {
      for (const [name, entry] of this.#members(entries, ["services"])) {
        const path = ["services", name];
        const problem = problemOfServiceName(name) ?? this.#problemOfKnownName(name);
        if (problem !== undefined) this.#wrongName(path, problem);
        services.set(name, this.#service(entry, path));
      }
    }
    // Positions match the document only if no list item was skipped.
    const isWhole = this.problems.length === 0;
    for (const [name, { calls }] of services) this.#checkCalls(calls, ["services", name, "calls"], services, isWhole);
    return { services };
  }

  #problemOfKnownName(name: string): string | undefined {
    if (PROTOTYPE_NAMES.has(name)) return `"${name}" cannot be a service name`;
    if (this.#registered === undefined || this.#registered.has(name)) return undefined;
    return `service "${name}" is not registered in this app`;
  }

  #service(data: unknown, path: Path): PolicyService {
    const { calls, scopes, reportOnly } = this.#fields(data, path, ["calls", "scopes", "reportOnly"]);
    if (reportOnly !== undefined && typeof reportOnly !== "boolean") {
      this.#wrong([...path, "reportOnly"], "expected true or false");
    }
    const callees = calls === undefined ? [] : this.#members(calls, [...path, "calls"]);
    return {
      calls: new Map(
        callees.map(([callee, list]) => [callee, this.#scopes(list, [...path, "calls", callee], MAX_SCOPES)]),
      ),
      scopes: scopes === undefined ? undefined : this.#scopes(scopes, [...path, "scopes"], MAX_DECLARED_SCOPES),
      reportOnly: reportOnly === true,
    };
  }

  #scopes(data: unknown, path: Path, most: number): string[] {
    if (!Array.isArray(data)) {
      this.#wrong(path, "expected a list of scopes, such as [stock:read], or [] for none");
      return [];
    }
    if (data.length > most) this.#wrong(path, `more than ${most} scopes`);
    const scopes = new Set<string>();
    for (const [i, scope] of (data as unknown[]).slice(0, most).entries()) {
      if (typeof scope !== "string") {
        this.#wrong([...path, i], "expected a scope; put it in quotes");
        continue;
      }
      const problem = scopes.has(scope) ? "duplicate scope" : problemOfScope(scope);
      if (problem !== undefined) this.#wrong([...path, i], problem);
      scopes.add(scope);
    }
    return [...scopes];
  }

  /** Checks that need all services. */
  #checkCalls(calls: PolicyService["calls"], path: Path, services: Policy["services"], isWhole: boolean): void {
    for (const [callee, scopes] of calls) {
      const known = services.get(callee);
      if (known === undefined) {
        this.#wrongName([...path, callee], problemOfServiceName(callee) ?? `"${callee}" is not declared in services`);
        continue;
      }
      if (known.scopes === undefined || !isWhole) continue;
      const declared = new Set(known.scopes);
      const missing = [...scopes.keys()].filter((i) => !declared.has(scopes[i]!));
      for (const i of missing) this.#wrong([...path, callee, i], `"${callee}" does not list this scope in its scopes`);
    }
  }

  /** Returns the known members. */
  #fields<N extends string>(data: unknown, path: Path, names: readonly N[]): Partial<Record<N, unknown>> {
    const found: Partial<Record<N, unknown>> = {};
    for (const [name, value] of this.#members(data, path)) {
      const known = names.find((one) => one === name);
      if (known === undefined) this.#wrongName([...path, name], `unknown field, expected ${listOf(names, "or")}`);
      else found[known] = value;
    }
    return found;
  }

  #members(data: unknown, path: Path): [string, unknown][] {
    if (isPlainObject(data)) return Object.entries(data);
    this.#wrong(path, "expected names with values, or {} for none");
    return [];
  }

  #wrong(path: Path, problem: string): void {
    this.problems.push({ path, atName: false, problem });
  }

  #wrongName(path: Path, problem: string): void {
    this.problems.push({ path, atName: true, problem });
  }
}

/** Returns a policy as a document. */
export function documentOf({ services }: Policy): PolicyDocument {
  const entryOf = ({ calls, scopes, reportOnly }: PolicyService): ServiceEntry => ({
    ...(calls.size > 0 && { calls: Object.fromEntries(calls) }),
    ...(scopes !== undefined && { scopes }),
    ...(reportOnly && { reportOnly }),
  });
  return { services: Object.fromEntries([...services].map(([name, service]) => [name, entryOf(service)])) };
}
