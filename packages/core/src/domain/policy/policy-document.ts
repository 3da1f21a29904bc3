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

/** A mistake in a document. */
export interface PolicyProblem {
  /** Where: names and positions in lists, from the root on. */
  readonly path: readonly (string | number)[];
  /** Whether the last name of the path is wrong, and not what stands behind it. */
  readonly atName: boolean;
  readonly problem: string;
}

export type ReadPolicy = { ok: true; policy: Policy } | { ok: false; problems: readonly PolicyProblem[] };

/** Of the text in which a policy is written down. */
export const MAX_POLICY_BYTES = 262_144;
/** Of the list in which a service says what it has. */
const MAX_DECLARED_SCOPES = 1_000;

/** Good names by their letters, on which programs stumble that keep names in plain objects. */
const PROTOTYPE_NAMES: ReadonlySet<string> = new Set(["constructor", "prototype"]);

/**
 * A policy from plain data, or every mistake in it. Pure.
 *
 * @param registered the services that there are; undefined: they were looked at when it was applied
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
    if (entries === undefined && isRecord(data)) this.#wrong([], "'services' is missing");
    if (entries !== undefined) {
      for (const [name, entry] of this.#members(entries, ["services"])) {
        const path = ["services", name];
        const problem = problemOfServiceName(name) ?? this.#problemOfKnownName(name);
        if (problem !== undefined) this.#wrongName(path, problem);
        services.set(name, this.#service(entry, path));
      }
    }
    // Positions are those of the document only where nothing was left out of a list.
    const isWhole = this.problems.length === 0;
    for (const [name, { calls }] of services) this.#checkCalls(calls, ["services", name, "calls"], services, isWhole);
    return { services };
  }

  #problemOfKnownName(name: string): string | undefined {
    if (PROTOTYPE_NAMES.has(name)) return `'${name}' is no name for a service`;
    if (this.#registered === undefined || this.#registered.has(name)) return undefined;
    return `no service '${name}' is registered in this app`;
  }

  #service(data: unknown, path: Path): PolicyService {
    const { calls, scopes, reportOnly } = this.#fields(data, path, ["calls", "scopes", "reportOnly"]);
    if (reportOnly !== undefined && typeof reportOnly !== "boolean") {
      this.#wrong([...path, "reportOnly"], "true or false was expected");
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
      this.#wrong(path, "a list of scopes was expected, such as [stock:read], or [] for none");
      return [];
    }
    if (data.length > most) this.#wrong(path, `more than ${most} scopes`);
    const scopes = new Set<string>();
    for (const [i, scope] of (data as unknown[]).slice(0, most).entries()) {
      if (typeof scope !== "string") {
        this.#wrong([...path, i], "a scope was expected, which is a text: write it in quotes");
        continue;
      }
      const problem = scopes.has(scope) ? "the same scope twice" : problemOfScope(scope);
      if (problem !== undefined) this.#wrong([...path, i], problem);
      scopes.add(scope);
    }
    return [...scopes];
  }

  /** What can be said only once every service is known. */
  #checkCalls(calls: PolicyService["calls"], path: Path, services: Policy["services"], isWhole: boolean): void {
    for (const [callee, scopes] of calls) {
      const known = services.get(callee);
      if (known === undefined) {
        this.#wrongName(
          [...path, callee],
          problemOfServiceName(callee) ?? `'${callee}' is not declared under 'services'`,
        );
        continue;
      }
      if (known.scopes === undefined || !isWhole) continue;
      const declared = new Set(known.scopes);
      const missing = [...scopes.keys()].filter((i) => !declared.has(scopes[i]!));
      for (const i of missing) this.#wrong([...path, callee, i], `'${callee}' does not list this among its 'scopes'`);
    }
  }

  /** The members that are there, of those that may be. */
  #fields<N extends string>(data: unknown, path: Path, names: readonly N[]): Partial<Record<N, unknown>> {
    const found: Partial<Record<N, unknown>> = {};
    for (const [name, value] of this.#members(data, path)) {
      const known = names.find((one) => one === name);
      if (known === undefined)
        this.#wrongName([...path, name], `an unknown field: ${listOf(names, "or")} was expected`);
      else found[known] = value;
    }
    return found;
  }

  #members(data: unknown, path: Path): [string, unknown][] {
    if (isRecord(data)) return Object.entries(data);
    this.#wrong(path, "names with what belongs to each were expected, or {} for none");
    return [];
  }

  #wrong(path: Path, problem: string): void {
    this.problems.push({ path, atName: false, problem });
  }

  #wrongName(path: Path, problem: string): void {
    this.problems.push({ path, atName: true, problem });
  }
}

/** The document that says the same as the policy, however it was written before. */
export function documentOf({ services }: Policy): PolicyDocument {
  const entryOf = ({ calls, scopes, reportOnly }: PolicyService): ServiceEntry => ({
    ...(calls.size > 0 && { calls: Object.fromEntries(calls) }),
    ...(scopes !== undefined && { scopes }),
    ...(reportOnly && { reportOnly }),
  });
  return { services: Object.fromEntries([...services].map(([name, service]) => [name, entryOf(service)])) };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
