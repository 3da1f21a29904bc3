import { inspect } from "node:util";
import { DEFAULT_CORE_PORT, isLoopbackHost, type Algorithm } from "countersign/protocol";
import { z } from "zod";
import { isPostgresUrl } from "../adapters/postgres/database-url.ts";
import { parseMasterKeys } from "../adapters/vault/master-key.ts";
import { DEFAULT_ROTATION, problemsOfRotationPolicy, type RotationPolicy } from "../domain/keys/rotation.ts";
import { StartupError } from "../ports/startup-error.ts";

/** A core's settings, validated and frozen. */
export interface CoreConfig {
  /** 0: any free port. */
  readonly port: number;
  readonly host: string;
  readonly dataDir: string;
  /** `postgres://...`; undefined: the embedded store in `dataDir`. */
  readonly database: string | undefined;
  /** Maximum number of PostgreSQL connections. */
  readonly poolSize: number;
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
  /** 32 bytes each. The first encrypts, all decrypt. Undefined: they are in a file. */
  readonly masterKeys: readonly Uint8Array[] | undefined;
  /** Undefined: the file next to the embedded database. */
  readonly masterKeyFile: string | undefined;
  readonly rotation: RotationPolicy;
  /** Milliseconds to issue tokens from memory while the store is unavailable. */
  readonly maxRingAge: number;
  /** Public base URL without a trailing slash. Undefined: the listening address, on loopback. */
  readonly publicUrl: string | undefined;
}

/** Settings of a core. An option overrides its environment variable, which overrides the default. */
export interface CoreOptions {
  /** Port to listen on; 0 selects a free port. Default 3567. `COUNTERSIGN_PORT` */
  port?: number | string | undefined;
  /** Address to listen on. Default 127.0.0.1. `COUNTERSIGN_HOST` */
  host?: string | undefined;
  /**
   * Directory of the embedded store, created if missing. Overrides `COUNTERSIGN_DATABASE`. Default `./.countersign`.
   * `COUNTERSIGN_DATA_DIR`
   */
  dataDir?: string | undefined;
  /**
   * PostgreSQL for several instances: `postgres://user:password@host:port/name`. Requires a configured master key.
   * Default: the embedded store. `COUNTERSIGN_DATABASE`
   */
  database?: string | undefined;
  /** Maximum number of PostgreSQL connections, plus one that listens. Default 8. `COUNTERSIGN_POOL_SIZE` */
  poolSize?: number | string | undefined;
  /** API keys of the driver interface: at least 20 characters of `A-Z a-z 0-9 = _ -`. `COUNTERSIGN_API_KEYS`, comma-separated */
  apiKeys?: readonly string[] | undefined;
  /** Keys of the admin API, with the same format. `COUNTERSIGN_ADMIN_KEYS`, comma-separated */
  adminKeys?: readonly string[] | undefined;
  /**
   * Key rotation, in milliseconds, and the default signing algorithms; see RotationPolicy. `COUNTERSIGN_ROTATION`: the
   * durations as JSON, in seconds; `COUNTERSIGN_ALGORITHMS`, comma-separated
   */
  rotation?: Partial<RotationPolicy> | undefined;
  /**
   * Milliseconds to issue tokens from memory while the store is unavailable. Default one hour.
   * `COUNTERSIGN_MAX_RING_AGE`, in seconds
   */
  maxRingAge?: number | undefined;
  /**
   * Public base URL, used as the OAuth issuer; a proxy must not change it. The issuer of an app is `/appid-<app>` below
   * it. Default: the listening address on loopback, otherwise OAuth is off. `COUNTERSIGN_PUBLIC_URL`
   */
  publicUrl?: string | undefined;
}

/** The environment variable of each setting. */
const VARIABLES = {
  port: "COUNTERSIGN_PORT",
  host: "COUNTERSIGN_HOST",
  dataDir: "COUNTERSIGN_DATA_DIR",
  database: "COUNTERSIGN_DATABASE",
  poolSize: "COUNTERSIGN_POOL_SIZE",
  apiKeys: "COUNTERSIGN_API_KEYS",
  adminKeys: "COUNTERSIGN_ADMIN_KEYS",
  masterKeys: "COUNTERSIGN_MASTER_KEY",
  masterKeyFile: "COUNTERSIGN_MASTER_KEY_FILE",
  maxRingAge: "COUNTERSIGN_MAX_RING_AGE",
  publicUrl: "COUNTERSIGN_PUBLIC_URL",
} as const;

type Setting = keyof typeof VARIABLES;

/** Settings whose values are never printed. A public URL can contain a password. */
const SECRET: ReadonlySet<Setting> = new Set(["database", "apiKeys", "adminKeys", "masterKeys", "publicUrl"]);

const PORT_RULE = "expected a number from 0 to 65535";
const DATABASE_RULE = "expected postgres://USER:PASSWORD@HOST:PORT/NAME, with %XX for special characters in its parts";
const POOL_SIZE_RULE = "expected a number from 2 to 1000";
const KEY_RULE = "must have at least 20 characters from A-Z a-z 0-9 = _ -";
const MASTER_KEY_RULE =
  "expected 32 bytes as base64url (43 characters), or several separated by commas, the current one first";
const PUBLIC_URL_RULE =
  "expected an http or https URL such as https://auth.example.com, without user, query and fragment";

const key = z.string(KEY_RULE).regex(/^[A-Za-z0-9=_-]{20,}$/, KEY_RULE);

const settings = z.object({
  port: z.coerce
    .string()
    .regex(/^\d{1,5}$/, PORT_RULE)
    .transform(Number)
    .refine((port) => port <= 65_535, PORT_RULE),
  host: z.string("expected an address to listen on").min(1, "expected an address to listen on"),
  dataDir: z.string("expected a directory").min(1, "expected a directory"),
  database: z.string(DATABASE_RULE).refine(isPostgresUrl, DATABASE_RULE).optional(),
  poolSize: z.coerce
    .string()
    .regex(/^\d{1,4}$/, POOL_SIZE_RULE)
    .transform(Number)
    .refine((size) => size >= 2 && size <= 1000, POOL_SIZE_RULE),
  apiKeys: z.array(key),
  adminKeys: z.array(key),
  masterKeys: z
    .string()
    .transform((text) => parseMasterKeys(text, ","))
    .refine((keys) => keys !== undefined, MASTER_KEY_RULE)
    .optional(),
  masterKeyFile: z.string().optional(),
  maxRingAge: z.number().positive(),
  publicUrl: z
    .string(PUBLIC_URL_RULE)
    .refine(isPublicUrl, PUBLIC_URL_RULE)
    .transform((text) => text.replace(/\/+$/, ""))
    .optional(),
});

/** Returns the variables about the store and its keys, without those about the server. */
export function storeSettingsIn(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ["MASTER_KEY", "MASTER_KEY_FILE", "ROTATION", "ALGORITHMS", "MAX_RING_AGE"];
  return Object.fromEntries(names.map((name) => [`COUNTERSIGN_${name}`, environment[`COUNTERSIGN_${name}`]]));
}

export interface ResolveHints {
  /** Whether a vault other than the configured master keys encrypts private keys. Default false. */
  readonly hasVault?: boolean;
  /** How the user types an option, for error messages. Default: the name in CoreOptions. */
  readonly optionName?: (option: string) => string;
}

/**
 * Resolves options, environment and defaults, in this order.
 *
 * @throws StartupError with one line for each error; never contains keys, passwords or database URLs
 */
export function resolveConfig(
  options: CoreOptions,
  environment: NodeJS.ProcessEnv,
  { hasVault = false, optionName = (option) => option }: ResolveHints = {},
): CoreConfig {
  const fromEnvironment = durationsIn(setIn(environment, "COUNTERSIGN_ROTATION"));
  const algorithms = listIn(environment, "COUNTERSIGN_ALGORITHMS") as Algorithm[];
  const rotation = Object.freeze({
    ...DEFAULT_ROTATION,
    ...fromEnvironment.durations,
    ...(algorithms.length > 0 && { algorithms }),
    ...options.rotation,
  });
  const given = {
    port: options.port ?? setIn(environment, VARIABLES.port) ?? DEFAULT_CORE_PORT,
    host: options.host ?? setIn(environment, VARIABLES.host) ?? "127.0.0.1",
    dataDir: options.dataDir ?? setIn(environment, VARIABLES.dataDir) ?? "./.countersign",
    // An explicit dataDir overrides COUNTERSIGN_DATABASE.
    database: options.database ?? (options.dataDir ? undefined : setIn(environment, VARIABLES.database)),
    poolSize: options.poolSize ?? setIn(environment, VARIABLES.poolSize) ?? 8,
    apiKeys: options.apiKeys ?? listIn(environment, VARIABLES.apiKeys),
    adminKeys: options.adminKeys ?? listIn(environment, VARIABLES.adminKeys),
    masterKeys: setIn(environment, VARIABLES.masterKeys),
    masterKeyFile: setIn(environment, VARIABLES.masterKeyFile),
    maxRingAge: options.maxRingAge ?? secondsIn(environment, VARIABLES.maxRingAge) ?? 3_600_000,
    publicUrl: options.publicUrl ?? setIn(environment, VARIABLES.publicUrl),
  };
  const optionOf = (setting: Setting) => (options as Partial<Record<Setting, unknown>>)[setting];
  /** The name of a setting where its value comes from. */
  const nameOf = (setting: Setting) =>
    optionOf(setting) === undefined && setIn(environment, VARIABLES[setting]) !== undefined
      ? VARIABLES[setting]
      : optionName(setting);
  const problemWith = (setting: Setting, rule: string) => {
    const value = optionOf(setting) ?? setIn(environment, VARIABLES[setting]);
    const got = SECRET.has(setting)
      ? ""
      : `, got ${typeof value === "string" ? quote(value) : inspect(value, { depth: -1 })}`;
    if (setting !== "maxRingAge") return `${nameOf(setting)}: ${rule}${got}`;
    const unit = optionOf(setting) === undefined ? "seconds" : "milliseconds";
    return `${nameOf(setting)}: expected a number of ${unit} above 0${got}`;
  };

  const parsed = settings.safeParse(given);
  const problems = parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => problemWith(path[0] as Setting, message));
  problems.push(...fromEnvironment.problems);
  problems.push(
    ...problemsOfRotationPolicy(rotation).map((problem) => withRotationName(problem, options, environment)),
  );
  problems.push(...problemsOfKeys(given, nameOf));
  if (options.database !== undefined && options.dataDir !== undefined) {
    problems.push(`${nameOf("database")} and ${nameOf("dataDir")} are mutually exclusive; set only one`);
  }
  problems.push(...problemsOfMasterKey(given, hasVault, nameOf));
  if (!parsed.success || problems.length > 0) throw new StartupError([...new Set(problems)].join("\n"));
  const { database, masterKeys, masterKeyFile, publicUrl } = parsed.data;
  return Object.freeze({ ...parsed.data, database, masterKeys, masterKeyFile, publicUrl, rotation });
}

/** Quotes a setting's value, escaped and truncated. */
function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 80)}…` : value);
}

const seconds = z.number().nonnegative();
const durations = z
  .strictObject({
    lead: seconds,
    period: seconds,
    hold: seconds,
    jwksMaxAge: seconds,
    instanceRefresh: z.number().min(0.1), // each instance polls the store this often
    clockSkew: seconds,
  })
  .partial();
const DURATIONS_RULE =
  'COUNTERSIGN_ROTATION: expected JSON such as {"lead":600,"period":604800}, with seconds for any of ' +
  Object.keys(durations.shape).join(", ");

/** Parses the durations of a rotation policy. Returns milliseconds. */
function durationsIn(text: string | undefined): { durations: Partial<RotationPolicy>; problems: string[] } {
  if (text === undefined) return { durations: {}, problems: [] };
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    return { durations: {}, problems: [DURATIONS_RULE] };
  }
  const parsed = durations.safeParse(given);
  if (!parsed.success) {
    const details = parsed.error.issues.map(({ path, message }) => [...path, message].join(": "));
    return { durations: {}, problems: [`${DURATIONS_RULE}; ${details.join("; ")}`] };
  }
  const inMilliseconds = Object.entries(parsed.data).map(([name, value]) => [name, value! * 1000]);
  return { durations: Object.fromEntries(inMilliseconds) as Partial<RotationPolicy>, problems: [] };
}

/** Prefixes a problem of the rotation policy with the option or variable that it comes from. */
function withRotationName(problem: string, { rotation }: CoreOptions, environment: NodeJS.ProcessEnv): string {
  const variable = problem.startsWith("algorithms: ") ? "COUNTERSIGN_ALGORITHMS" : "COUNTERSIGN_ROTATION";
  if (rotation !== undefined || setIn(environment, variable) === undefined) return `rotation: ${problem}`;
  return `${variable}: ${problem.replace(/^algorithms: /, "")}`;
}

type NameOf = (setting: Setting) => string;

/** Settings before validation. */
interface GivenKeys {
  readonly host: string;
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
}

function problemsOfKeys({ host, apiKeys, adminKeys }: GivenKeys, nameOf: NameOf): string[] {
  const problems: string[] = [];
  if (apiKeys.length === 0 && !isLoopbackHost(host)) {
    problems.push(
      `${nameOf("host")}: ${quote(host)} is reachable from other machines, but no API key is configured; ` +
        "set --api-key or COUNTERSIGN_API_KEYS, or listen on 127.0.0.1",
    );
  }
  if (apiKeys.some((apiKey) => adminKeys.includes(apiKey))) {
    problems.push(`${nameOf("adminKeys")}: must differ from every API key, otherwise services get admin access`);
  }
  return problems;
}

interface GivenMasterKey {
  readonly database: string | undefined;
  readonly masterKeys: string | undefined;
  readonly masterKeyFile: string | undefined;
}

function problemsOfMasterKey(
  { database, masterKeys, masterKeyFile }: GivenMasterKey,
  hasVault: boolean,
  nameOf: NameOf,
): string[] {
  if (masterKeys !== undefined && masterKeyFile !== undefined) {
    return ["COUNTERSIGN_MASTER_KEY and COUNTERSIGN_MASTER_KEY_FILE are mutually exclusive; set only one"];
  }
  if (database === undefined || hasVault || masterKeys !== undefined || masterKeyFile !== undefined) return [];
  return [
    `${nameOf("database")}: PostgreSQL requires a master key; set COUNTERSIGN_MASTER_KEY to the same 32-byte ` +
      "base64url value on every instance, or set COUNTERSIGN_MASTER_KEY_FILE",
  ];
}

/**
 * Reports whether a URL can be an issuer. Issuers are compared character by character, so the URL must already have its
 * normalized form (RFC 8414 section 2).
 */
function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (!["https:", "http:"].includes(url.protocol)) return false;
  return (
    url.href.replace(/\/+$/, "") === text.replace(/\/+$/, "") &&
    url.username + url.password + url.search + url.hash === ""
  );
}

/** Returns a variable without surrounding spaces. Undefined: not set, or empty. */
function setIn(environment: NodeJS.ProcessEnv, name: string): string | undefined {
  const value = environment[name]?.trim();
  return value === "" ? undefined : value;
}

function secondsIn(environment: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = setIn(environment, name);
  return text === undefined ? undefined : Number(text) * 1000;
}

function listIn(environment: NodeJS.ProcessEnv, name: string): string[] {
  return (environment[name] ?? "")
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");
}
