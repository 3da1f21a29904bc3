import type { ClientProof } from "../../use-cases/authentication/authenticate-client.ts";
import { decodeFormText, type Form } from "../request/form-body.ts";

export type ReadProof =
  | { readonly ok: true; readonly proof: ClientProof }
  | { readonly ok: false; readonly error: "invalid_request" | "invalid_client"; readonly problem: string };

/** The parts of a request that authenticate a client. */
interface ClientRequest {
  /** The header, which occurs at most once. */
  readonly authorization: string | undefined;
  readonly form: Form;
}

interface ClientAuthenticationMethod {
  /** Reports whether the request uses this method, even if it is malformed. */
  isUsed(request: ClientRequest): boolean;
  /** Returns what `authenticateClient` verifies. */
  readProof(request: ClientRequest): ReadProof;
}

/** RFC 7523 section 2.2. */
const ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/** The error for every cause, so that attackers cannot tell which part was wrong. */
export const NOT_AUTHENTICATED = "client authentication failed";
export const ONE_METHOD = "use exactly one client authentication method";

/** Every method a client can use, by its registered name (RFC 7591 section 2, OpenID Connect Core 1.0 section 9). */
const METHODS: Readonly<Record<string, ClientAuthenticationMethod>> = {
  client_secret_basic: {
    isUsed: ({ authorization }) => authorization !== undefined,
    readProof: ({ authorization, form }) => readBasic(authorization!, form.get("client_id")),
  },
  client_secret_post: {
    isUsed: ({ form }) => form.get("client_secret") !== undefined,
    readProof({ form }) {
      const [clientId, secret] = [form.get("client_id"), form.get("client_secret")!];
      if (clientId === undefined) return reject("invalid_request", "client_id is missing");
      return { ok: true, proof: { way: "secret", clientId, secret } };
    },
  },
  // Signed by the service with its own key, or by its platform.
  private_key_jwt: {
    isUsed: ({ form }) => (form.get("client_assertion") ?? form.get("client_assertion_type")) !== undefined,
    readProof({ form }) {
      const assertion = form.get("client_assertion");
      if (assertion === undefined) return reject("invalid_request", "client_assertion is missing");
      if (form.get("client_assertion_type") !== ASSERTION_TYPE) {
        return reject("invalid_request", `client_assertion_type must be ${ASSERTION_TYPE}`);
      }
      return { ok: true, proof: { way: "assertion", clientId: form.get("client_id"), assertion } };
    },
  },
};

/** For metadata (RFC 8414 section 2). */
export const CLIENT_AUTHENTICATION_METHODS: readonly string[] = Object.keys(METHODS);

/** Returns how many methods a request uses. Only one is allowed (RFC 6749 section 2.3). */
export function countMethods(request: ClientRequest): number {
  return Object.values(METHODS).filter((method) => method.isUsed(request)).length;
}

export function readClientProof(request: ClientRequest): ReadProof {
  const [method, ...others] = Object.values(METHODS).filter((one) => one.isUsed(request));
  if (method === undefined) return reject("invalid_client", "client authentication is missing");
  return others.length > 0 ? reject("invalid_request", ONE_METHOD) : method.readProof(request);
}

const BASIC = /^basic ([A-Za-z0-9+/]+={0,2})$/i;

/** @param clientId in the body, which must be the same (RFC 6749 section 3.2.1) */
function readBasic(authorization: string, clientId: string | undefined): ReadProof {
  const [, encoded] = BASIC.exec(authorization) ?? [];
  const text = Buffer.from(encoded ?? "", "base64").toString("latin1");
  const colon = text.indexOf(":");
  const name = decodeFormText(text.slice(0, Math.max(0, colon)));
  const secret = decodeFormText(text.slice(colon + 1));
  if (!name || !secret || (clientId !== undefined && clientId !== name)) {
    return reject("invalid_client", NOT_AUTHENTICATED);
  }
  return { ok: true, proof: { way: "secret", clientId: name, secret } };
}

function reject(error: "invalid_request" | "invalid_client", problem: string): ReadProof {
  return { ok: false, error, problem };
}
