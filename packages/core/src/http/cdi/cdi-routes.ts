import type { Context } from "hono";
import { DRIVER_VERSIONS, compareVersions, LIMITS, PATHS, type JsonObject } from "countersign/protocol";
import { DEFAULT_APP } from "../../domain/apps/app.ts";
import { scopesIn } from "../../domain/policy/scope.ts";
import type { IssuedServiceToken, ServiceTokenRequest } from "../../use-cases/tokens/issue-service-token.ts";
import { algorithmRequested } from "../../use-cases/tokens/issue-token.ts";
import type { Env, UseCases } from "../request/use-cases.ts";
import { readJsonBody } from "../request/body.ts";
import { answerJson, refuseText } from "../request/responses.ts";

/** One row of the driver interface. */
export interface Route {
  readonly method: "GET" | "POST" | "PUT";
  readonly path: string;
  /** `apps`: needs an admin key where one is configured, and exists in the default app only where it writes. No service's. */
  readonly power: "driver" | "apps";
  handle(c: Context<Env>): Promise<Response>;
}

/** Before it, `useStaticSigningKey` did not exist, and every token was static. */
const DYNAMIC_SINCE = "2.21";

export function cdiRoutes(services: UseCases): readonly Route[] {
  const { issuerUrls, state, issueToken, issueServiceToken, manageApps } = services;
  return [
    {
      method: "GET",
      path: PATHS.apiVersion,
      power: "driver",
      handle: async (c) => answerJson(c, { versions: DRIVER_VERSIONS }),
    },
    {
      method: "GET",
      path: PATHS.jwtJwks,
      power: "driver",
      handle: async (c) => {
        const keys = state.publishedSets(c.get("path").appId)?.rsa.keys ?? [];
        return answerJson(c, { status: "OK", keys });
      },
    },
    { method: "POST", path: PATHS.jwt, power: "driver", handle: createJwt },
    {
      method: "PUT",
      path: PATHS.createApp,
      power: "apps",
      handle: async (c) => {
        const appId = await readAppToManage(c);
        if (appId instanceof Response) return appId;
        const created = await manageApps.create(appId);
        return created.ok
          ? answerJson(c, { status: "OK", createdNew: created.createdNew })
          : refuseText(c, 400, created.problem);
      },
    },
    {
      method: "GET",
      path: PATHS.listApps,
      power: "apps",
      handle: async (c) => answerJson(c, { status: "OK", apps: state.appIds().map((appId) => ({ appId })) }),
    },
    {
      method: "POST",
      path: PATHS.removeApp,
      power: "apps",
      handle: async (c) => {
        const appId = await readAppToManage(c);
        if (appId instanceof Response) return appId;
        const removed = await manageApps.remove(appId);
        return removed.ok
          ? answerJson(c, { status: "OK", didExist: removed.didExist })
          : refuseText(c, 403, "The default app cannot be removed");
      },
    },
  ];

  async function createJwt(c: Context<Env>): Promise<Response> {
    const body = await readBody(c);
    if (body instanceof Response) return body;
    const { payload, algorithm, jwksDomain, validity, useStaticSigningKey = true } = body;
    if (!isObject(payload)) return invalidField(c, "payload");
    if (typeof algorithm !== "string") return invalidField(c, "algorithm");
    if (typeof jwksDomain !== "string") return invalidField(c, "jwksDomain");
    if (typeof validity !== "number" || !Number.isInteger(validity)) return invalidField(c, "validity");
    if (typeof useStaticSigningKey !== "boolean") return invalidField(c, "useStaticSigningKey");
    if (validity <= 0) return refuseText(c, 400, "validity must be greater than or equal to 0");
    if (validity > LIMITS.validity) {
      return refuseText(c, 400, `validity must not be greater than ${LIMITS.validity} seconds (100 years)`);
    }
    const requested = algorithmRequested(algorithm);
    if (requested === undefined) return answerJson(c, { status: "UNSUPPORTED_ALGORITHM_ERROR" });

    const dynamic = !useStaticSigningKey && compareVersions(c.get("cdiVersion"), DYNAMIC_SINCE) >= 0;
    const request = {
      kind: dynamic ? ("dynamic" as const) : ("static" as const),
      algorithm: requested,
      payload,
      issuer: jwksDomain,
      validity,
    };
    const principal = c.get("principal");
    let issued: IssuedServiceToken;
    if (principal?.type === "service") {
      const call = readCall(c, body);
      if (call instanceof Response) return call;
      // C10 the core's own name or none: `jwksDomain` is the service's word.
      const issuer = issuerUrls.of(principal.appId);
      issued = await issueServiceToken({ ...request, ...call, issuer, principal });
    } else {
      issued = await issueToken({ ...request, appId: c.get("path").appId });
    }
    switch (issued.status) {
      case "issued": {
        const { jwt, expiresAt } = issued;
        return answerJson(c, { status: "OK", jwt, ...(expiresAt === undefined ? {} : { expiresAt }) });
      }
      case "unsupported_algorithm":
        return answerJson(c, { status: "UNSUPPORTED_ALGORITHM_ERROR" });
      case "refused":
        return refuseText(c, 400, issued.problem);
      case "denied":
        return refuseText(c, issued.code, issued.problem);
      case "forbidden_claim":
        return refuseText(c, 403, `payload: claim '${issued.claim}' of a service's token is the core's to set`);
      case "unauthenticated":
        return refuseText(c, 401, "Invalid API key");
      case "unavailable":
        return refuseText(c, 503, "Service Unavailable");
    }
  }
}

/** Whom a service wants to call, and what for. From others these fields are not read, as no unknown one is. */
function readCall(c: Context<Env>, body: JsonObject): Pick<ServiceTokenRequest, "audience" | "scopes"> | Response {
  const { audience, scope } = body;
  if (audience !== undefined && typeof audience !== "string") return invalidField(c, "audience");
  if (scope === undefined) return { audience, scopes: undefined };
  const scopes = typeof scope === "string" ? scopesIn(scope) : undefined;
  return scopes === undefined ? invalidField(c, "scope") : { audience, scopes };
}

const ONLY_DEFAULT_APP = "Only the default app can manage apps";

/** The app a request names; from the default app only. */
async function readAppToManage(c: Context<Env>): Promise<string | Response> {
  if (c.get("path").appId !== DEFAULT_APP) return refuseText(c, 403, ONLY_DEFAULT_APP);
  const body = await readBody(c);
  if (body instanceof Response) return body;
  const { appId } = body;
  return typeof appId === "string" ? appId : invalidField(c, "appId");
}

function invalidField(c: Context, name: string): Response {
  return refuseText(c, 400, `Field name '${name}' is invalid in JSON input`);
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The body as a JSON object, or the answer that refuses it. */
async function readBody(c: Context<Env>): Promise<JsonObject | Response> {
  const read = await readJsonBody(c);
  return read.ok ? read.value : refuseText(c, read.status, read.problem);
}
