import { LIMITS, parseKeySet, type Algorithm, type VerificationKey } from "countersign/protocol";
import { MAX_CLIENT_KEYS, type ClientKey } from "../../domain/authentication/client-key.ts";
import { problemOfServiceName } from "../../domain/services/service.ts";
import {
  MAX_TRUSTS,
  problemOfClaim,
  problemOfSubject,
  type WorkloadTrust,
} from "../../domain/authentication/workload-trust.ts";
import type { PlatformKeys } from "../../ports/platform-keys.ts";
import type { Store, StoreWriter } from "../../ports/store.ts";
import { isId, newId } from "./ids.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { ChangeResult } from "../../domain/change-result.ts";

/** A service's public key as the admin API shows it. Dates are ISO 8601. */
export interface ClientKeyView {
  readonly kid: string;
  readonly algorithm: Algorithm;
  readonly createdAt: string;
}

export interface TrustView extends Omit<WorkloadTrust, "appId" | "jwks" | "createdAt"> {
  /** Kids of the pinned keys; null: keys come from the issuer's discovery document. */
  readonly pinned: readonly string[] | null;
  readonly createdAt: string;
}

/** A trusted identity to add. */
export type NewTrust = Omit<WorkloadTrust, "appId" | "id" | "createdAt">;

/** Manages authentication without a secret: public keys and trusted identities. */
export interface ManageClients {
  keysOf(appId: string, service: string): ChangeResult<ClientKeyView[]>;
  /** Replaces its keys; an empty set removes them. @param jwks JWK Set (RFC 7517) as JSON */
  setKeys(appId: string, service: string, jwks: string): Promise<ChangeResult<ClientKeyView[]>>;
  trusts(appId: string): TrustView[];
  trust(appId: string, trust: NewTrust): Promise<ChangeResult<TrustView>>;
  untrust(appId: string, id: string): Promise<ChangeResult<{ id: string }>>;
}

export function createManageClients(
  store: Store,
  state: InstanceState,
  platformKeys: Pick<PlatformKeys, "problemOf">,
): ManageClients {
  /** Changes an existing service under the lock, and updates this instance's state. */
  async function change<T>(
    appId: string,
    service: string,
    work: (writer: StoreWriter) => Promise<ChangeResult<T>>,
  ): Promise<ChangeResult<T>> {
    if (problemOfServiceName(service) !== undefined) return NO_SERVICE; // some databases truncate text at a NUL character
    const managed = await store.write(async (writer) =>
      (await writer.services.find(appId, service)) === undefined ? NO_SERVICE : work(writer),
    );
    await state.catchUp();
    return managed;
  }

  return Object.freeze<ManageClients>({
    keysOf(appId, service) {
      if (state.servicesOf(appId)?.find(service) === undefined) return NO_SERVICE;
      return { ok: true, value: state.clientsOf(appId)!.keysOf(service).map(viewOfKey) };
    },

    async setKeys(appId, service, jwks) {
      const read = readKeys(jwks);
      if (!read.ok) return read;
      return change(appId, service, async ({ clients, now }) => {
        const keys = read.value.map((key) => ({ ...key, appId, service, createdAt: now }));
        await clients.replaceKeys(appId, service, keys);
        return { ok: true, value: keys.map(viewOfKey) };
      });
    },

    trusts: (appId) => (state.clientsOf(appId)?.trusts() ?? []).map(viewOfTrust),

    async trust(appId, asked) {
      const { issuer, subject, audience, jwks } = asked;
      const problem =
        problemOfSubject(subject) ??
        problemOfClaim("issuer", issuer) ??
        problemOfClaim("audience", audience) ??
        (jwks === null || !URL.canParse(issuer) ? platformKeys.problemOf(issuer) : undefined);
      if (problem !== undefined) return { ok: false, status: 400, problem };
      const pinned = jwks === null ? undefined : readKeys(jwks, LIMITS.jwksKeys);
      if (pinned?.ok === false) return pinned;
      return change<TrustView>(appId, asked.service, async ({ clients, now }) => {
        const present = await clients.trustsIn(appId);
        const names = ["service", "issuer", "subject", "audience", "jwks"] as const;
        if (present.some((one) => names.every((name) => one[name] === asked[name]))) {
          return { ok: false, status: 409, problem: "the trusted identity already exists" };
        }
        if (present.length >= MAX_TRUSTS) {
          return { ok: false, status: 409, problem: `an app has at most ${MAX_TRUSTS} trusted identities` };
        }
        const trust: WorkloadTrust = { ...asked, appId, id: newId(), createdAt: now };
        await clients.insertTrust(trust);
        return { ok: true, value: viewOfTrust(trust) };
      });
    },

    async untrust(appId, id) {
      const existed = isId(id) && (await store.write(({ clients }) => clients.deleteTrust(appId, id)));
      await state.catchUp();
      return existed ? { ok: true, value: { id } } : { ok: false, status: 404, problem: "trusted identity not found" };
    },
  });
}

const NO_SERVICE = Object.freeze({ ok: false, status: 404, problem: "service not found" } as const);

/** Parses a JWK Set. Rejects it if any key cannot be used for verification. */
function readKeys(jwks: string, most = MAX_CLIENT_KEYS): ChangeResult<readonly VerificationKey[]> {
  const refuse = (problem: string) => ({ ok: false, status: 400, problem: `jwks: ${problem}` }) as const;
  const read = parseKeySet(jwks);
  if (!read.ok) return refuse(read.problem);
  const [skipped] = read.skipped;
  if (skipped !== undefined) return refuse(skipped.problem);
  return read.keys.length > most ? refuse(`expected at most ${most} keys`) : { ok: true, value: read.keys };
}

function viewOfKey({ kid, algorithm, createdAt }: ClientKey): ClientKeyView {
  return { kid, algorithm, createdAt: new Date(createdAt).toISOString() };
}

function viewOfTrust({ id, service, issuer, subject, audience, jwks, createdAt }: WorkloadTrust): TrustView {
  const read = jwks === null ? undefined : parseKeySet(jwks);
  const pinned = read === undefined ? null : read.ok ? read.keys.map(({ kid }) => kid) : [];
  return { id, service, issuer, subject, audience, pinned, createdAt: new Date(createdAt).toISOString() };
}
