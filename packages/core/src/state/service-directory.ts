import type { Credential } from "../domain/authentication/credential.ts";
import type { Service } from "../domain/services/service.ts";

export interface RegisteredService extends Service {
  readonly credentials: readonly Credential[];
}

/** The services of one app, from one snapshot of the store. */
export class ServiceDirectory {
  readonly #byName = new Map<string, RegisteredService>();
  readonly #byDigest = new Map<string, Credential>();

  constructor(services: readonly Service[], credentials: readonly Credential[]) {
    const own = new Map<string, Credential[]>(services.map(({ name }) => [name, []]));
    for (const credential of credentials) own.get(credential.service)?.push(credential);
    for (const service of services) {
      const its = own.get(service.name)!;
      this.#byName.set(service.name, { ...service, credentials: its });
      if (service.disabledAt !== null) continue;
      for (const credential of its) this.#byDigest.set(credential.digest, credential);
    }
  }

  all(): readonly RegisteredService[] {
    return [...this.#byName.values()];
  }

  names(): ReadonlySet<string> {
    return new Set(this.#byName.keys());
  }

  find(name: string): RegisteredService | undefined {
    return this.#byName.get(name);
  }

  /** Returns the credential with this digest, which might have expired. Ignores disabled services. */
  credentialOf(digest: string): Credential | undefined {
    return this.#byDigest.get(digest);
  }
}
