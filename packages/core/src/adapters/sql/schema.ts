/** The tables, the same in both engines. Dates are milliseconds since the epoch by the store's clock. */
export interface Schema {
  /** One row. */
  core_state: {
    id: 1;
    epoch: number;
    generation: number;
    /** A RotationPolicy as JSON. */
    rotation: string | null;
  };
  apps: {
    app_id: string;
    created_at: number;
    /** Space-separated; null: those of the configuration. */
    algorithms: string | null;
    /** 1: all active signing keys must be replaced. */
    rotation_due: number;
  };
  revoked_tokens: {
    app_id: string;
    jti: string;
    /** Seconds since the epoch. */
    expires_at: number;
    /** The service that revoked its own token; null: an administrator revoked it. */
    service: string | null;
  };
  revoked_services: {
    app_id: string;
    service: string;
    /** Seconds since the epoch. */
    not_before: number;
  };
  signing_keys: {
    app_id: string;
    kid: string;
    kind: "static" | "dynamic";
    algorithm: string;
    sequence: number;
    created_at: number;
    signs_from: number;
    signs_until: number | null;
    verifies_until: number | null;
    revoked_at: number | null;
    public_jwk: string;
    /** base64url, so that both engines use the same type. */
    sealed_private_key: string;
    master_key_id: string;
  };
  services: {
    app_id: string;
    service: string;
    created_at: number;
    disabled_at: number | null;
  };
  service_credentials: {
    app_id: string;
    service: string;
    credential_id: string;
    /** SHA-256, base64url. */
    digest: string;
    created_at: number;
    expires_at: number | null;
    last_used_at: number | null;
  };
  policy_versions: {
    app_id: string;
    version: number;
    /** A PolicyDocument as JSON. */
    document: string;
    applied_at: number;
    applied_by: string;
  };
  reported_calls: {
    app_id: string;
    /** Empty, as the callee: all calls beyond the limit. */
    caller: string;
    callee: string;
    /** Empty: none was requested. */
    scope: string;
    count: number;
    first_at: number;
    last_at: number;
  };
  client_keys: {
    app_id: string;
    service: string;
    kid: string;
    algorithm: string;
    /** A PublicJwk as JSON. */
    jwk: string;
    created_at: number;
  };
  trusts: {
    app_id: string;
    trust_id: string;
    service: string;
    issuer: string;
    subject: string;
    audience: string;
    /** A key set as JSON; null: by discovery. */
    jwks: string | null;
    created_at: number;
  };
  used_assertions: {
    app_id: string;
    /** SHA-256, base64url. */
    digest: string;
    /** Seconds since the epoch. */
    until: number;
  };
}
