import { compareVersions, isPlainObject, LIMITS, type Algorithm, type JsonObject } from "countersign/protocol";
import { scopesIn } from "../../domain/policy/scope.ts";
import type { IssuedServiceToken, ServiceTokenRequest } from "../../use-cases/tokens/issue-service-token.ts";
import { algorithmRequested } from "../../use-cases/tokens/issue-token.ts";
import type { HttpContext } from "../request/http-context.ts";
import { jsonResponse, textResponse, type CoreResponse, type ReadResult } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { invalidField, readBody } from "./read-body.ts";

/** Older versions ignore `useStaticSigningKey` and get static tokens only. */
const DYNAMIC_SINCE = "2.21";

const UNSUPPORTED_ALGORITHM = jsonResponse({ status: "UNSUPPORTED_ALGORITHM_ERROR" });

interface JwtFields {
  readonly payload: JsonObject;
  /** `undefined`: the core does not sign with it. */
  readonly algorithm: Algorithm | undefined;
  readonly jwksDomain: string;
  /** Seconds. */
  readonly validity: number;
  readonly useStaticSigningKey: boolean;
}

/** `POST /recipe/jwt` */
export function createJwtHandler(useCases: UseCases): (c: HttpContext) => Promise<CoreResponse> {
  const { issuerUrls, issueToken, issueServiceToken } = useCases;

  return async (c) => {
    const body = await readBody(c);
    if (!body.ok) return body.response;
    const fields = readFields(body.value);
    if (!fields.ok) return fields.response;
    const { payload, algorithm, jwksDomain, validity, useStaticSigningKey } = fields.value;
    if (algorithm === undefined) return UNSUPPORTED_ALGORITHM;
    const isDynamic = !useStaticSigningKey && compareVersions(c.cdiVersion, DYNAMIC_SINCE) >= 0;
    const kind = isDynamic ? ("dynamic" as const) : ("static" as const);
    const request = { kind, algorithm, payload, issuer: jwksDomain, validity };

    const { principal } = c;
    if (principal?.type !== "service") {
      return toResponse(await issueToken({ ...request, appId: c.path.appId }));
    }
    const call = readCall(body.value);
    if (!call.ok) return call.response;
    // C10: the service chooses `jwksDomain`, so it cannot be the issuer of a service token.
    const issuer = issuerUrls.of(principal.appId);
    return toResponse(await issueServiceToken({ ...request, ...call.value, issuer, principal }));
  };
}

function readFields(body: JsonObject): ReadResult<JwtFields> {
  const { payload, algorithm, jwksDomain, validity, useStaticSigningKey = true } = body;
  if (!isPlainObject(payload)) return invalidField("payload");
  if (typeof algorithm !== "string") return invalidField("algorithm");
  if (typeof jwksDomain !== "string") return invalidField("jwksDomain");
  if (typeof validity !== "number" || !Number.isInteger(validity)) return invalidField("validity");
  if (typeof useStaticSigningKey !== "boolean") return invalidField("useStaticSigningKey");
  if (validity <= 0) return invalid("validity must be greater than or equal to 0");
  if (validity > LIMITS.validity) {
    return invalid(`validity must not be greater than ${LIMITS.validity} seconds (100 years)`);
  }
  const fields = { payload, algorithm: algorithmRequested(algorithm), jwksDomain, validity, useStaticSigningKey };
  return { ok: true, value: fields };
}

/** Reads which service a service wants to call, and with which scopes. Other callers' tokens ignore these fields. */
function readCall({ audience, scope }: JsonObject): ReadResult<Pick<ServiceTokenRequest, "audience" | "scopes">> {
  if (audience !== undefined && typeof audience !== "string") return invalidField("audience");
  if (scope === undefined) return { ok: true, value: { audience, scopes: undefined } };
  const scopes = typeof scope === "string" ? scopesIn(scope) : undefined;
  return scopes === undefined ? invalidField("scope") : { ok: true, value: { audience, scopes } };
}

function toResponse(issued: IssuedServiceToken): CoreResponse {
  switch (issued.status) {
    case "issued":
      return jsonResponse({ status: "OK", jwt: issued.jwt, expiresAt: issued.expiresAt });
    case "unsupported_algorithm":
      return UNSUPPORTED_ALGORITHM;
    case "refused":
      return textResponse(400, issued.problem);
    case "denied":
      return textResponse(issued.code, issued.problem);
    case "forbidden_claim":
      return textResponse(403, `payload: the core sets claim '${issued.claim}' of a service token`);
    case "unauthenticated":
      return textResponse(401, "Invalid API key");
    case "unavailable":
      return textResponse(503, "Service Unavailable");
  }
}

function invalid(message: string): ReadResult<never> {
  return { ok: false, response: textResponse(400, message) };
}
