import type { ServicePrincipal } from "../../use-cases/authentication/authenticate.ts";
import { readForm, type Form } from "../request/form-body.ts";
import type { HttpContext } from "../request/http-context.ts";
import { DEFAULT_TENANT } from "../request/request-path.ts";
import { withHeaders, type CoreResponse, type ReadResult } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { countMethods, NOT_AUTHENTICATED, ONE_METHOD, readClientProof } from "./client-authentication.ts";
import { oauthError, rejected, unauthenticated } from "./responses.ts";

/** Authenticates the caller of an OAuth endpoint, and reads its form. */
export interface ReadClient {
  service(c: HttpContext): Promise<ReadResult<{ principal: ServicePrincipal; form: Form }>>;
  /** Accepts an API key, too. */
  serviceOrApiKey(c: HttpContext): Promise<ReadResult<Form>>;
}

const BEARER = /^bearer (.+)$/i;

export function createReadClient({
  authenticate,
  authenticateClient,
  failedAuthenticationLimit,
}: UseCases): ReadClient {
  return {
    async service(c) {
      const form = await readBody(c);
      if (!form.ok) return form;
      const principal = await authenticateService(c, form.value);
      return principal.ok ? { ok: true, value: { principal: principal.value, form: form.value } } : principal;
    },

    async serviceOrApiKey(c) {
      const form = await readBody(c);
      if (!form.ok) return form;
      const [apiKey, authorization] = [c.header("api-key"), c.header("authorization")];
      // A proxy could have read the other one (RFC 6749 section 2.3).
      const methods = countMethods({ authorization, form: form.value }) + (apiKey === undefined ? 0 : 1);
      if (methods > 1) return rejected(oauthError(400, "invalid_request", ONE_METHOD));
      const key = apiKey ?? BEARER.exec(authorization ?? "")?.[1];
      if (key !== undefined) return isKnown(c, key) ? form : rejectFailure(c);
      const principal = await authenticateService(c, form.value);
      return principal.ok ? form : principal;
    },
  };

  function isKnown(c: HttpContext, key: string): boolean {
    const { appId, tenantId } = c.path;
    const found = tenantId === DEFAULT_TENANT ? authenticate(key, appId)?.type : undefined;
    return found === "api-key" || found === "service";
  }

  async function authenticateService(c: HttpContext, form: Form): Promise<ReadResult<ServicePrincipal>> {
    const { appId, tenantId } = c.path;
    const read = readClientProof({ authorization: c.header("authorization"), form });
    if (read.ok) {
      // An unknown app or tenant has no clients, and gets the same response as a wrong secret.
      const principal = tenantId === DEFAULT_TENANT ? await authenticateClient(read.proof, appId) : undefined;
      return principal === undefined ? rejectFailure(c) : { ok: true, value: principal };
    }
    if (read.problem === NOT_AUTHENTICATED) return rejectFailure(c);
    return rejected(
      read.error === "invalid_client" ? unauthenticated(c, read.problem) : oauthError(400, read.error, read.problem),
    );
  }

  function rejectFailure(c: HttpContext): ReadResult<never> {
    const wait = failedAuthenticationLimit.waitAfterFailure(c.remoteAddress);
    return rejected(wait === 0 ? unauthenticated(c, NOT_AUTHENTICATED) : tooManyFailures(wait));
  }
}

/** @param wait seconds */
function tooManyFailures(wait: number): CoreResponse {
  const response = oauthError(429, "invalid_client", "too many failed authentications; retry later");
  return withHeaders(response, { "retry-after": String(wait) });
}

async function readBody(c: HttpContext): Promise<ReadResult<Form>> {
  for (const name of ["authorization", "api-key"]) {
    // Node keeps the first of two headers, and a proxy could have read the other one.
    if (!c.isRepeated(name)) continue;
    return rejected(oauthError(400, "invalid_request", `the header ${name} was sent more than once`));
  }
  const read = await readForm(c);
  return read.ok ? { ok: true, value: read.form } : rejected(oauthError(400, read.error, read.problem));
}
