import { randomBytes } from "node:crypto";
import {
  CREDENTIAL_BYTES,
  hasExpired,
  MAX_CREDENTIALS,
  writeCredential,
  type Credential,
} from "../../domain/authentication/credential.ts";
import { MAX_SERVICES, problemOfServiceName } from "../../domain/services/service.ts";
import type { PolicyVersion, Store, StoreWriter } from "../../ports/store.ts";
import { policyIn } from "../../state/applied-policy.ts";
import { digestOf } from "../../crypto/digest.ts";
import type { CredentialUses } from "../authentication/credential-uses.ts";
import { isId, newId } from "./ids.ts";
import type { InstanceState } from "../../state/instance-state.ts";
import type { ChangeResult } from "../../domain/change-result.ts";
import type { RegisteredService } from "../../state/service-directory.ts";

/** A service as an operator sees it. Dates are ISO 8601; null: none. */
export interface ServiceView {
  readonly name: string;
  readonly state: "enabled" | "disabled";
  readonly createdAt: string;
  readonly disabledAt: string | null;
  /** How many of its credentials are good, or would be if it were not disabled. */
  readonly credentials: number;
}

export interface CredentialView {
  readonly id: string;
  readonly state: "active" | "expired";
  readonly createdAt: string;
  readonly expiresAt: string | null;
  /** By about a minute: what another instance has seen is written down now and then. */
  readonly lastUsedAt: string | null;
}

/** The only time that a credential is seen. */
export interface NewCredential extends CredentialView {
  readonly credential: string;
}

export interface ManageServices {
  register(appId: string, name: string): Promise<ChangeResult<ServiceView>>;
  list(appId: string): ServiceView[];
  find(appId: string, name: string): ChangeResult<ServiceView>;
  /** No credential of it is good any more. What it was issued lives on, for an hour at most. */
  disable(appId: string, name: string): Promise<ChangeResult<ServiceView>>;
  /** The credentials that it had are good again. */
  enable(appId: string, name: string): Promise<ChangeResult<ServiceView>>;
  /** Not one that the policy in force names. */
  delete(appId: string, name: string): Promise<ChangeResult<{ name: string }>>;
  credentialsOf(appId: string, name: string): Promise<ChangeResult<CredentialView[]>>;
  /** @param expiresAt milliseconds since the epoch; null: it does not expire. Expired ones make room for it. */
  addCredential(appId: string, name: string, expiresAt: number | null): Promise<ChangeResult<NewCredential>>;
  revokeCredential(appId: string, name: string, id: string): Promise<ChangeResult<{ id: string }>>;
}

export function createManageServices(store: Store, state: InstanceState, uses: CredentialUses): ManageServices {
  /** A change of a service that there is, under the lock; everybody asks this instance right after it. */
  async function change<T>(
    appId: string,
    name: string,
    work: (writer: StoreWriter) => Promise<ChangeResult<T>>,
  ): Promise<ChangeResult<T>> {
    if (problemOfServiceName(name) !== undefined) return NO_SERVICE; // some engines end a name at its first NUL
    const managed = await store.write(async (writer) =>
      (await writer.services.find(appId, name)) === undefined ? NO_SERVICE : work(writer),
    );
    await state.catchUp();
    return managed;
  }

  function setDisabled(appId: string, name: string, disabled: boolean): Promise<ChangeResult<ServiceView>> {
    return change(appId, name, async ({ services, now }) => {
      const before = (await services.find(appId, name))!;
      const disabledAt = disabled ? (before.disabledAt ?? now) : null;
      await services.setDisabled(appId, name, disabledAt);
      const credentials = await services.credentialsOf(appId, name);
      return { ok: true, value: viewOf({ ...before, disabledAt, credentials }, now) };
    });
  }

  return Object.freeze<ManageServices>({
    async register(appId, name) {
      const problem = problemOfServiceName(name);
      if (problem !== undefined) return { ok: false, status: 400, problem };
      const managed = await store.write<ChangeResult<ServiceView>>(async (writer) => {
        const { services, now } = writer;
        if ((await writer.apps.find(appId)) === undefined)
          return { ok: false, status: 404, problem: "there is no such app" };
        if ((await services.find(appId, name)) !== undefined) {
          return { ok: false, status: 409, problem: "there is a service of that name already" };
        }
        if ((await services.count(appId)) >= MAX_SERVICES) {
          return { ok: false, status: 409, problem: `an app has at most ${MAX_SERVICES} services` };
        }
        return { ok: true, value: viewOf({ ...(await services.insert(appId, name)), credentials: [] }, now) };
      });
      await state.catchUp();
      return managed;
    },

    list(appId) {
      const now = state.now();
      return (state.servicesOf(appId)?.all() ?? []).map((service) => viewOf(service, now));
    },

    find(appId, name) {
      const service = state.servicesOf(appId)?.find(name);
      return service === undefined ? NO_SERVICE : { ok: true, value: viewOf(service, state.now()) };
    },

    disable: (appId, name) => setDisabled(appId, name, true),
    enable: (appId, name) => setDisabled(appId, name, false),

    delete: (appId, name) =>
      change(appId, name, async ({ services, policies }) => {
        const policy = await policies.current(appId);
        if (policy !== undefined && policyIn(policy).services.has(name)) return namedIn(policy);
        await services.delete(appId, name);
        return { ok: true, value: { name } };
      }),

    async credentialsOf(appId, name) {
      if (state.servicesOf(appId)?.find(name) === undefined) return NO_SERVICE;
      const credentials = await store.readCredentials(appId, name);
      const now = state.now();
      return { ok: true, value: credentials.map((one) => viewOfCredential(one, now, uses.lastOf(one))) };
    },

    addCredential: (appId, name, expiresAt) =>
      change<NewCredential>(appId, name, async ({ services, now }) => {
        if (expiresAt !== null && expiresAt <= now) {
          return { ok: false, status: 400, problem: "expiresAt: a date that has not passed was expected" };
        }
        const present = await services.credentialsOf(appId, name);
        const expired = present.filter((one) => hasExpired(one, now));
        if (present.length - expired.length >= MAX_CREDENTIALS) {
          const problem = `a service has at most ${MAX_CREDENTIALS} credentials: revoke one that is not used any more`;
          return { ok: false, status: 409, problem };
        }
        for (const { id } of expired) await services.deleteCredential(appId, name, id);
        const credential = writeCredential(name, randomBytes(CREDENTIAL_BYTES).toString("base64url"));
        const stored: Credential = {
          ...{ appId, service: name, id: newId() },
          digest: digestOf(credential),
          ...{ createdAt: now, expiresAt, lastUsedAt: null },
        };
        await services.insertCredential(stored);
        return { ok: true, value: { ...viewOfCredential(stored, now, null), credential } };
      }),

    revokeCredential: (appId, name, id) =>
      change<{ id: string }>(appId, name, async ({ services }) =>
        isId(id) && (await services.deleteCredential(appId, name, id))
          ? { ok: true, value: { id } }
          : { ok: false, status: 404, problem: "the service has no credential of that id" },
      ),
  });
}

const NO_SERVICE = Object.freeze({ ok: false, status: 404, problem: "there is no service of that name" } as const);

/** A policy in force names nobody who is not there: whoever was registered by that name later would be let in by it. */
function namedIn({ version }: PolicyVersion): { ok: false; status: 409; problem: string } {
  const problem =
    `version ${version} of the policy, which is in force, names this service: disable it to stop it now, ` +
    "or apply a policy without it and then delete it";
  return { ok: false, status: 409, problem };
}

function viewOf({ name, createdAt, disabledAt, credentials }: RegisteredService, now: number): ServiceView {
  return {
    name,
    state: disabledAt === null ? "enabled" : "disabled",
    createdAt: dateOf(createdAt)!,
    disabledAt: dateOf(disabledAt),
    credentials: credentials.filter((one) => !hasExpired(one, now)).length,
  };
}

function viewOfCredential(credential: Credential, now: number, usedHere: number | null): CredentialView {
  const { id, createdAt, expiresAt, lastUsedAt } = credential;
  return {
    id,
    state: hasExpired(credential, now) ? "expired" : "active",
    createdAt: dateOf(createdAt)!,
    expiresAt: dateOf(expiresAt),
    lastUsedAt: dateOf(lastUsedAt === null && usedHere === null ? null : Math.max(lastUsedAt ?? 0, usedHere ?? 0)),
  };
}

function dateOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
