import type { ClientProof } from "../../use-cases/authentication/authenticate-client.ts";
import { decodeFormText, type Form } from "../request/form-body.ts";

/** RFC 7523 section 2.2. */
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

export type ReadProof =
  | { readonly ok: true; readonly proof: ClientProof }
  | { readonly ok: false; readonly error: "invalid_request" | "invalid_client"; readonly problem: string };

/**
 * How a client says who it is: exactly one way for each request (RFC 6749 section 2.3).
 *
 * @param authorization the header, which cannot have been sent twice
 */
export function readClientProof(authorization: string | undefined, form: Form): ReadProof {
  const clientId = form.get("client_id");
  const secret = form.get("client_secret");
  const assertion = form.get("client_assertion");
  const type = form.get("client_assertion_type");
  const ways = countWays(form, authorization);
  if (ways === 0) return refuse("invalid_client", "client authentication is missing");
  if (ways > 1) return refuse("invalid_request", ONE_WAY);
  if (authorization !== undefined) return readBasic(authorization, clientId);
  if (secret !== undefined) {
    if (clientId === undefined) return refuse("invalid_request", "client_id is missing");
    return { ok: true, proof: { way: "secret", clientId, secret } };
  }
  if (assertion === undefined) return refuse("invalid_request", "client_assertion is missing");
  if (type !== ASSERTION_TYPE) return refuse("invalid_request", `client_assertion_type must be ${ASSERTION_TYPE}`);
  return { ok: true, proof: { way: "assertion", clientId, assertion } };
}

/** How many ways to say who it is a request uses. @param headers that are such ways */
export function countWays(form: Form, ...headers: readonly (string | undefined)[]): number {
  const assertion = form.get("client_assertion") ?? form.get("client_assertion_type");
  return [...headers, form.get("client_secret"), assertion].filter((way) => way !== undefined).length;
}

export const ONE_WAY = "one way of client authentication was expected";

const BASIC = /^basic ([A-Za-z0-9+/]+={0,2})$/i;
/** Said of whatever is wrong with who somebody is, so that nobody learns what it was. */
export const NOT_AUTHENTICATED = "client authentication failed";

/** @param clientId from the body, where it says nothing else (RFC 6749 section 3.2.1) */
function readBasic(authorization: string, clientId: string | undefined): ReadProof {
  const [, encoded] = BASIC.exec(authorization) ?? [];
  const text = Buffer.from(encoded ?? "", "base64").toString("latin1");
  const colon = text.indexOf(":");
  const name = decodeFormText(text.slice(0, Math.max(0, colon)));
  const secret = decodeFormText(text.slice(colon + 1));
  if (!name || !secret || (clientId !== undefined && clientId !== name)) {
    return refuse("invalid_client", NOT_AUTHENTICATED);
  }
  return { ok: true, proof: { way: "secret", clientId: name, secret } };
}

function refuse(error: "invalid_request" | "invalid_client", problem: string): ReadProof {
  return { ok: false, error, problem };
}
