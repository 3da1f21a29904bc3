import { DEFAULT_CORE_PORT, isLoopbackHost, type Algorithm } from "countersign/protocol";
import { z } from "zod";
import { isPostgresUrl } from "../adapters/postgres/database-url.ts";
import { parseMasterKeys } from "../adapters/vault/master-key.ts";
import { DEFAULT_ROTATION, problemsOfRotationPolicy, type RotationPolicy } from "../domain/keys/rotation.ts";
import { StartupError } from "../ports/startup-error.ts";

/** A core's settings, checked and frozen. */
export interface CoreConfig {
  /** 0: any free one. */
  readonly port: number;
  readonly host: string;
  readonly dataDir: string;
  /** `postgres://...`; undefined: the embedded store in `dataDir`. */
  readonly database: string | undefined;
  /** Connections to PostgreSQL at most. */
  readonly poolSize: number;
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
  /** 32 bytes each: the first one seals, any of them opens; undefined: they are in a file. */
  readonly masterKeys: readonly Uint8Array[] | undefined;
  /** undefined: the one beside the embedded database. */
  readonly masterKeyFile: string | undefined;
  readonly rotation: RotationPolicy;
  /** Milliseconds that issuing goes on from memory while the store is away. */
  readonly maxRingAge: number;
  /** Where others reach this core, without a slash at its end; undefined: where it listens, on loopback. */
  readonly publicUrl: string | undefined;
}

/** What a caller sets; the rest comes from the environment, then from the defaults. */
export interface CoreOptions {
  /** Default 3567; 0: any free one. `COUNTERSIGN_PORT` */
  port?: number | string | undefined;
  /** Address to listen on. Default 127.0.0.1. `COUNTERSIGN_HOST` */
  host?: string | undefined;
  /**
   * Directory of the embedded store, made where it is missing; given here, it wins over `COUNTERSIGN_DATABASE`. Default
   * `./.countersign`. `COUNTERSIGN_DATA_DIR`
   */
  dataDir?: string | undefined;
  /**
   * PostgreSQL for many instances: `postgres://user:password@host:port/name`; needs a configured master key.
   * Default: the embedded store. `COUNTERSIGN_DATABASE`
   */
  database?: string | undefined;
  /** Connections to PostgreSQL at most, beside one that listens. Default 8. `COUNTERSIGN_POOL_SIZE` */
  poolSize?: number | string | undefined;
  /** Keys of the driver interface: 20 or more characters of `A-Z a-z 0-9 = _ -`. `COUNTERSIGN_API_KEYS`, comma separated */
  apiKeys?: readonly string[] | undefined;
  /** Keys of administration, of the same kind. `COUNTERSIGN_ADMIN_KEYS`, comma separated */
  adminKeys?: readonly string[] | undefined;
  /**
   * When keys change, in milliseconds, and what apps sign with; see RotationPolicy. `COUNTERSIGN_ROTATION`: the durations
   * as JSON, in seconds; `COUNTERSIGN_ALGORITHMS`, comma separated
   */
  rotation?: Partial<RotationPolicy> | undefined;
  /** Milliseconds that issuing goes on while the store is away. Default one hour. `COUNTERSIGN_MAX_RING_AGE`, in seconds */
  maxRingAge?: number | undefined;
  /**
   * URL under which others reach this core: the issuer of its OAuth tokens, which no proxy before it may change. An app's
   * is `/appid-<app>` below it. Default: where it listens, if that is a loopback address; else OAuth is off.
   * `COUNTERSIGN_PUBLIC_URL`
   */
  publicUrl?: string | undefined;
}

const KEY_PATTERN = /^[A-Za-z0-9=_-]{20,}$/;
const KEY_RULE = "20 or more characters of A-Z a-z 0-9 = _ - were expected";

const DATABASE_RULE =
  "database: postgres://USER:PASSWORD@HOST:PORT/NAME was expected, with %XX for special characters in its parts";
const POOL_SIZE_RULE = "poolSize (COUNTERSIGN_POOL_SIZE): a number from 2 to 1000 was expected";

const MASTER_KEY_RULE =
  "COUNTERSIGN_MASTER_KEY: 32 bytes as base64url were expected (43 characters), or several with commas between them, " +
  "the current one first";
const RING_AGE_RULE = "maxRingAge: milliseconds above 0 were expected (COUNTERSIGN_MAX_RING_AGE: seconds)";

const PUBLIC_URL_RULE =
  "public-url: a URL such as https://auth.example.com was expected, http or https, without user, query and fragment";

// Every message names what a person can set, and is written for the person who sets it.
const settings = z.object({
  port: z.coerce
    .string()
    .regex(/^\d{1,5}$/, "port: a number from 0 to 65535 was expected")
    .transform(Number)
    .refine((port) => port <= 65_535, "port: a number from 0 to 65535 was expected"),
  host: z.string().min(1, "host: an address to listen on was expected"),
  dataDir: z.string().min(1, "data-dir: a directory was expected"),
  database: z.string().refine(isPostgresUrl, DATABASE_RULE).optional(),
  poolSize: z.coerce
    .string()
    .regex(/^\d{1,4}$/, POOL_SIZE_RULE)
    .transform(Number)
    .refine((size) => size >= 2 && size <= 1000, POOL_SIZE_RULE),
  apiKeys: z.array(z.string().regex(KEY_PATTERN, `api-key: ${KEY_RULE}`)),
  adminKeys: z.array(z.string().regex(KEY_PATTERN, `admin-key: ${KEY_RULE}`)),
  masterKeys: z
    .string()
    .transform((text) => parseMasterKeys(text, ","))
    .refine((keys) => keys !== undefined, MASTER_KEY_RULE)
    .optional(),
  masterKeyFile: z.string().optional(),
  maxRingAge: z.number(RING_AGE_RULE).positive(RING_AGE_RULE),
  publicUrl: z
    .string()
    .refine(isPublicUrl, PUBLIC_URL_RULE)
    .transform((text) => text.replace(/\/+$/, ""))
    .optional(),
});

/** The variables that are about a store and its keys, and not about listening. */
export function storeSettingsIn(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const names = ["MASTER_KEY", "MASTER_KEY_FILE", "ROTATION", "ALGORITHMS", "MAX_RING_AGE"];
  return Object.fromEntries(names.map((name) => [`COUNTERSIGN_${name}`, environment[`COUNTERSIGN_${name}`]]));
}

/**
 * Resolves options, environment and defaults, in this order.
 *
 * @param hasVault whether private keys are sealed by something else than a configured master key
 * @throws StartupError that lists every mistake at once; never the value of a key
 */
export function resolveConfig(options: CoreOptions, environment: NodeJS.ProcessEnv, hasVault = false): CoreConfig {
  const fromEnvironment = durationsIn(setIn(environment, "COUNTERSIGN_ROTATION"));
  const algorithms = listIn(environment, "COUNTERSIGN_ALGORITHMS") as Algorithm[];
  const rotation = Object.freeze({
    ...DEFAULT_ROTATION,
    ...fromEnvironment.durations,
    ...(algorithms.length > 0 && { algorithms }),
    ...options.rotation,
  });
  const given = {
    port: options.port ?? setIn(environment, "COUNTERSIGN_PORT") ?? DEFAULT_CORE_PORT,
    host: options.host ?? setIn(environment, "COUNTERSIGN_HOST") ?? "127.0.0.1",
    dataDir: options.dataDir ?? setIn(environment, "COUNTERSIGN_DATA_DIR") ?? "./.countersign",
    // Who names a directory means it, whatever the environment has been made for.
    database: options.database ?? (options.dataDir ? undefined : setIn(environment, "COUNTERSIGN_DATABASE")),
    poolSize: options.poolSize ?? setIn(environment, "COUNTERSIGN_POOL_SIZE") ?? 8,
    apiKeys: options.apiKeys ?? listIn(environment, "COUNTERSIGN_API_KEYS"),
    adminKeys: options.adminKeys ?? listIn(environment, "COUNTERSIGN_ADMIN_KEYS"),
    masterKeys: setIn(environment, "COUNTERSIGN_MASTER_KEY"),
    masterKeyFile: setIn(environment, "COUNTERSIGN_MASTER_KEY_FILE"),
    maxRingAge: options.maxRingAge ?? secondsIn(environment, "COUNTERSIGN_MAX_RING_AGE") ?? 3_600_000,
    publicUrl: options.publicUrl ?? setIn(environment, "COUNTERSIGN_PUBLIC_URL"),
  };
  const parsed = settings.safeParse(given);
  const mistakes = parsed.success ? [] : parsed.error.issues.map((issue) => issue.message);
  mistakes.push(...fromEnvironment.problems);
  mistakes.push(...problemsOfRotationPolicy(rotation).map((problem) => `rotation: ${problem}`));
  mistakes.push(...problemsOfKeys(given));
  if (options.database !== undefined && options.dataDir !== undefined) {
    mistakes.push("database and data-dir: they name two stores, and one was expected");
  }
  mistakes.push(...problemsOfMasterKey(given, hasVault));
  if (!parsed.success || mistakes.length > 0) throw new StartupError([...new Set(mistakes)].join("\n"));
  const { database, masterKeys, masterKeyFile, publicUrl } = parsed.data;
  return Object.freeze({ ...parsed.data, database, masterKeys, masterKeyFile, publicUrl, rotation });
}

const seconds = z.number().nonnegative();
const durations = z
  .strictObject({
    ...{ lead: seconds, period: seconds, hold: seconds },
    // Every instance looks at the store so often.
    ...{ jwksMaxAge: seconds, instanceRefresh: z.number().min(0.1), clockSkew: seconds },
  })
  .partial();
const DURATIONS_RULE =
  'COUNTERSIGN_ROTATION: JSON such as {"lead":600,"period":604800} was expected, with seconds for any of ' +
  Object.keys(durations.shape).join(", ");

/** The durations of a rotation policy, in milliseconds. */
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

/** What is set, before anything about it is known to be right. */
interface GivenKeys {
  readonly host: string;
  readonly apiKeys: readonly string[];
  readonly adminKeys: readonly string[];
}

/** Mistakes that lie between settings, each of which may be right alone. */
function problemsOfKeys({ host, apiKeys, adminKeys }: GivenKeys): string[] {
  const problems: string[] = [];
  if (apiKeys.length === 0 && !isLoopbackHost(host)) {
    problems.push(
      `host: ${host} can be reached from other machines, and no API key is configured: ` +
        "set --api-key (or COUNTERSIGN_API_KEYS), or listen on 127.0.0.1",
    );
  }
  if (apiKeys.some((key) => adminKeys.includes(key))) {
    problems.push("admin-key: one key is both an API key and an admin key: every service could administer");
  }
  return problems;
}

interface GivenMasterKey {
  readonly database: string | undefined;
  readonly masterKeys: string | undefined;
  readonly masterKeyFile: string | undefined;
}

function problemsOfMasterKey({ database, masterKeys, masterKeyFile }: GivenMasterKey, hasVault: boolean): string[] {
  if (masterKeys !== undefined && masterKeyFile !== undefined) {
    return ["COUNTERSIGN_MASTER_KEY and COUNTERSIGN_MASTER_KEY_FILE: one of them was expected"];
  }
  if (database === undefined || hasVault || masterKeys !== undefined || masterKeyFile !== undefined) return [];
  return [
    "database: PostgreSQL is shared, and so is the master key: set COUNTERSIGN_MASTER_KEY to the same 32 bytes " +
      "(base64url) for every instance, or COUNTERSIGN_MASTER_KEY_FILE to a file with them",
  ];
}

/** IssuerUrls are compared letter by letter, so it is what the URL standard makes of it (RFC 8414 section 2). */
function isPublicUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const url = new URL(text);
  if (!["https:", "http:"].includes(url.protocol)) return false;
  return (
    url.href.replace(/\/+$/, "") === text.replace(/\/+$/, "") &&
    url.username + url.password + url.search + url.hash === ""
  );
}

/** A variable that is set to nothing is not set. */
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
