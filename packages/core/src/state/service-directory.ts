import type { Credential } from "../domain/authentication/credential.ts";
import type { Service } from "../domain/services/service.ts";

/** A service with what it authenticates with. */
export interface RegisteredService extends Service {
  readonly credentials: readonly Credential[];
}

/** The services of one app, as one snapshot of the store has them. */
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

  /** What has this digest, of a service that is not disabled; whether it has expired is a question of the moment. */
  credentialOf(digest: string): Credential | undefined {
    return this.#byDigest.get(digest);
  }
}
