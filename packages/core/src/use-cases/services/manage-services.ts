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

/** A service as the admin API shows it. Dates are ISO 8601; null: none. */
export interface ServiceView {
  readonly name: string;
  readonly state: "enabled" | "disabled";
  readonly createdAt: string;
  readonly disabledAt: string | null;
  /** Number of unexpired credentials. Disabling the service does not change it. */
  readonly credentials: number;
}

export interface CredentialView {
  readonly id: string;
  readonly state: "active" | "expired";
  readonly createdAt: string;
  readonly expiresAt: string | null;
  /** Accurate to about a minute: instances write it periodically. */
  readonly lastUsedAt: string | null;
}

/** A new credential, shown only once. */
export interface NewCredential extends CredentialView {
  readonly credential: string;
}

export interface ManageServices {
  register(appId: string, name: string): Promise<ChangeResult<ServiceView>>;
  list(appId: string): ServiceView[];
  find(appId: string, name: string): ChangeResult<ServiceView>;
  /** Rejects its credentials. Tokens it already has remain valid for up to an hour. */
  disable(appId: string, name: string): Promise<ChangeResult<ServiceView>>;
  /** Accepts its credentials again. */
  enable(appId: string, name: string): Promise<ChangeResult<ServiceView>>;
  /** Rejected if the current policy references the service. */
  delete(appId: string, name: string): Promise<ChangeResult<{ name: string }>>;
  credentialsOf(appId: string, name: string): Promise<ChangeResult<CredentialView[]>>;
  /** @param expiresAt milliseconds since the epoch; null: never. Expired credentials are deleted first. */
  addCredential(appId: string, name: string, expiresAt: number | null): Promise<ChangeResult<NewCredential>>;
  revokeCredential(appId: string, name: string, id: string): Promise<ChangeResult<{ id: string }>>;
}

export function createManageServices(store: Store, state: InstanceState, uses: CredentialUses): ManageServices {
  /** Changes an existing service under the lock, and updates this instance's state. */
  async function change<T>(
    appId: string,
    name: string,
    work: (writer: StoreWriter) => Promise<ChangeResult<T>>,
  ): Promise<ChangeResult<T>> {
    if (problemOfServiceName(name) !== undefined) return NO_SERVICE; // some databases truncate text at a NUL character
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
      const managed = await store.write((writer) => insertService(writer, appId, name));
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
        if (policy !== undefined && policyIn(policy).services.has(name)) return referencedBy(policy);
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
      change(appId, name, (writer) => insertCredential(writer, appId, name, expiresAt)),

    revokeCredential: (appId, name, id) =>
      change<{ id: string }>(appId, name, async ({ services }) =>
        isId(id) && (await services.deleteCredential(appId, name, id))
          ? { ok: true, value: { id } }
          : { ok: false, status: 404, problem: "credential not found" },
      ),
  });
}

const NO_SERVICE = Object.freeze({ ok: false, status: 404, problem: "service not found" } as const);

async function insertService(writer: StoreWriter, appId: string, name: string): Promise<ChangeResult<ServiceView>> {
  const { apps, services, now } = writer;
  if ((await apps.find(appId)) === undefined) return { ok: false, status: 404, problem: "app not found" };
  if ((await services.find(appId, name)) !== undefined) {
    return { ok: false, status: 409, problem: "the service already exists" };
  }
  if ((await services.count(appId)) >= MAX_SERVICES) {
    return { ok: false, status: 409, problem: `an app has at most ${MAX_SERVICES} services` };
  }
  return { ok: true, value: viewOf({ ...(await services.insert(appId, name)), credentials: [] }, now) };
}

async function insertCredential(
  { services, now }: StoreWriter,
  appId: string,
  service: string,
  expiresAt: number | null,
): Promise<ChangeResult<NewCredential>> {
  if (expiresAt !== null && expiresAt <= now) {
    return { ok: false, status: 400, problem: "expiresAt: expected a date in the future" };
  }
  const present = await services.credentialsOf(appId, service);
  const expired = present.filter((one) => hasExpired(one, now));
  if (present.length - expired.length >= MAX_CREDENTIALS) {
    const problem = `a service has at most ${MAX_CREDENTIALS} credentials; revoke one that is not used any more`;
    return { ok: false, status: 409, problem };
  }
  for (const { id } of expired) await services.deleteCredential(appId, service, id);
  const credential = writeCredential(service, randomBytes(CREDENTIAL_BYTES).toString("base64url"));
  const stored: Credential = {
    appId,
    service,
    id: newId(),
    digest: digestOf(credential),
    createdAt: now,
    expiresAt,
    lastUsedAt: null,
  };
  await services.insertCredential(stored);
  return { ok: true, value: { ...viewOfCredential(stored, now, null), credential } };
}

/**
 * The current policy references only registered services. Otherwise a service registered later under the same name
 * would get the old grants.
 */
function referencedBy({ version }: PolicyVersion): { ok: false; status: 409; problem: string } {
  const problem =
    `the current policy (version ${version}) references this service; apply a policy without it, then delete it, ` +
    "or disable it to block it now";
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
