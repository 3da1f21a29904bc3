import type { ClientKey } from "../domain/authentication/client-key.ts";
import type { WorkloadTrust } from "../domain/authentication/workload-trust.ts";
import type { ServiceDirectory } from "./service-directory.ts";

/** The public keys and trusted identities of the services of one app, from one snapshot of the store. */
export class ClientDirectory {
  readonly #services: ServiceDirectory;
  readonly #trusts: readonly WorkloadTrust[];
  readonly #byService = new Map<string, ClientKey[]>();
  readonly #byName = new Map<string, ClientKey>();
  readonly #byIssuer = new Map<string, WorkloadTrust[]>();

  constructor(services: ServiceDirectory, keys: readonly ClientKey[], trusts: readonly WorkloadTrust[]) {
    this.#services = services;
    this.#trusts = trusts;
    for (const key of keys) {
      add(this.#byService, key.service, key);
      if (this.#isEnabled(key)) this.#byName.set(`${key.service} ${key.kid}`, key);
    }
    for (const trust of trusts) if (this.#isEnabled(trust)) add(this.#byIssuer, trust.issuer, trust);
  }

  keysOf(service: string): readonly ClientKey[] {
    return this.#byService.get(service) ?? [];
  }

  trusts(): readonly WorkloadTrust[] {
    return this.#trusts;
  }

  /** Ignores disabled services. */
  findKey(service: string, kid: string): ClientKey | undefined {
    return this.#byName.get(`${service} ${kid}`);
  }

  /** Returns the trusts in an issuer. Ignores disabled services. */
  trustsIn(issuer: string): readonly WorkloadTrust[] {
    return this.#byIssuer.get(issuer) ?? [];
  }

  #isEnabled({ service }: { readonly service: string }): boolean {
    return this.#services.find(service)?.disabledAt === null;
  }
}

function add<T>(groups: Map<string, T[]>, name: string, one: T): void {
  const group = groups.get(name);
  if (group === undefined) groups.set(name, [one]);
  else group.push(one);
}
