import type { ServicePrincipal } from "../../use-cases/authentication/authenticate.ts";
import { countWays, NOT_AUTHENTICATED, ONE_WAY, readClientProof } from "./client-authentication.ts";
import type { UseCases } from "../request/use-cases.ts";
import type { HttpContext } from "../request/socket-context.ts";
import { readForm, type Form } from "../request/form-body.ts";
import { fieldsOf, headerOf } from "../request/request-header.ts";
import { DEFAULT_TENANT } from "../request/request-path.ts";
import { refuseOAuth } from "./responses.ts";

/** Who asks, with what it sent, or the answer that refuses it. */
export interface ReadClient {
  service(c: HttpContext): Promise<{ principal: ServicePrincipal; form: Form } | Response>;
  /** An API key does as well. */
  anybody(c: HttpContext): Promise<{ form: Form } | Response>;
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
      if (form instanceof Response) return form;
      const principal = await clientOf(c, form);
      return principal instanceof Response ? principal : { principal, form };
    },

    async anybody(c) {
      const form = await readBody(c);
      if (form instanceof Response) return form;
      const [apiKey, authorization] = [headerOf(c, "api-key"), headerOf(c, "authorization")];
      // Whoever stands before this core may have looked at the other one (RFC 6749 section 2.3).
      if (countWays(form, apiKey, authorization) > 1) return refuseOAuth(c, 400, "invalid_request", ONE_WAY);
      const key = apiKey ?? BEARER.exec(authorization ?? "")?.[1];
      const client = key === undefined ? await clientOf(c, form) : withKey(c, key);
      return client instanceof Response ? client : { form };
    },
  };

  function withKey(c: HttpContext, key: string): Response | undefined {
    const { appId, tenantId } = c.get("path");
    const found = tenantId === DEFAULT_TENANT ? authenticate(key, appId)?.type : undefined;
    return found === "api-key" || found === "service" ? undefined : refuseFailure(c);
  }

  async function clientOf(c: HttpContext, form: Form): Promise<ServicePrincipal | Response> {
    const { appId, tenantId } = c.get("path");
    const shown = readClientProof(headerOf(c, "authorization"), form);
    if (shown.ok) {
      // Nobody is known in an app or tenant that there is not, and nobody learns that from the answer.
      const principal = tenantId === DEFAULT_TENANT ? await authenticateClient(shown.proof, appId) : undefined;
      return principal ?? refuseFailure(c);
    }
    if (shown.problem === NOT_AUTHENTICATED) return refuseFailure(c);
    return refuseOAuth(c, shown.error === "invalid_client" ? 401 : 400, shown.error, shown.problem);
  }

  function refuseFailure(c: HttpContext): Response {
    const wait = failedAuthenticationLimit.waitAfterFailure(c.env?.incoming?.socket.remoteAddress);
    if (wait === 0) return refuseOAuth(c, 401, "invalid_client", NOT_AUTHENTICATED);
    c.header("retry-after", String(wait));
    return refuseOAuth(c, 429, "invalid_client", "too many failed authentications: wait before the next one");
  }
}

async function readBody(c: HttpContext): Promise<Form | Response> {
  for (const name of ["authorization", "api-key"]) {
    // Node keeps the first header of two: whoever stands before this core may have read the other one.
    if (c.env?.incoming === undefined || fieldsOf(c.env.incoming, name).length <= 1) continue;
    return refuseOAuth(c, 400, "invalid_request", `the header ${name} was sent more than once`);
  }
  const read = await readForm(c);
  return read.ok ? read.form : refuseOAuth(c, 400, read.error, read.problem);
}
