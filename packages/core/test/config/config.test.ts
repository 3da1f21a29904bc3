import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { resolveConfig, type CoreOptions } from "../../src/config/config.ts";
import { DEFAULT_ROTATION } from "../../src/domain/keys/rotation.ts";
import { StartupError } from "../../src/ports/startup-error.ts";
import { ADMIN_KEY, API_KEY } from "../support/core.ts";

/** Returns the lines of the error, or none if the configuration is valid. */
function mistakes(options: CoreOptions, environment: NodeJS.ProcessEnv = {}): string[] {
  try {
    resolveConfig(options, environment);
  } catch (error) {
    expect(error).toBeInstanceOf(StartupError);
    return (error as Error).message.split("\n");
  }
  return [];
}

describe("resolveConfig", () => {
  it("needs no settings, and returns a frozen object", () => {
    const config = resolveConfig({}, {});
    expect(config).toEqual({
      port: 3567,
      host: "127.0.0.1",
      dataDir: "./.countersign",
      database: undefined,
      poolSize: 8,
      apiKeys: [],
      adminKeys: [],
      masterKeys: undefined,
      masterKeyFile: undefined,
      rotation: DEFAULT_ROTATION,
      maxRingAge: 3_600_000,
    });
    expect([config, config.rotation].every(Object.isFrozen)).toBe(true);
  });

  it("reads the environment, which options override", () => {
    const masterKey = randomBytes(32);
    const environment = {
      COUNTERSIGN_PORT: " 8080 ",
      COUNTERSIGN_HOST: "::1",
      COUNTERSIGN_DATA_DIR: "/data",
      COUNTERSIGN_API_KEYS: `${API_KEY}, ${API_KEY}2,`,
      COUNTERSIGN_ADMIN_KEYS: ADMIN_KEY,
      COUNTERSIGN_MASTER_KEY: masterKey.toString("base64url"),
    };
    const config = resolveConfig({}, environment);
    expect(config).toMatchObject({
      port: 8080,
      host: "::1",
      dataDir: "/data",
      apiKeys: [API_KEY, `${API_KEY}2`],
      adminKeys: [ADMIN_KEY],
    });
    expect(config.masterKeys!.map((key) => Buffer.from(key))).toEqual([masterKey]);
    const options = { port: 0, host: "localhost", dataDir: "x", apiKeys: [], adminKeys: [] };
    expect(resolveConfig(options, environment)).toMatchObject(options);
  });

  it("reads several master keys, the current one first", () => {
    const keys = [randomBytes(32), randomBytes(32)];
    const text = keys.map((key) => key.toString("base64url")).join(" , ");
    expect(resolveConfig({}, { COUNTERSIGN_MASTER_KEY: text }).masterKeys!.map((key) => Buffer.from(key))).toEqual(
      keys,
    );
    expect(mistakes({}, { COUNTERSIGN_MASTER_KEY: `${text},nope` })).toEqual([
      expect.stringMatching(/^COUNTERSIGN_MASTER_KEY: expected 32 bytes .*the current one first$/),
    ]);
  });

  it("reads rotation in seconds, in full or in part, which options override", () => {
    const seconds = { lead: 3, period: 4, hold: 20, jwksMaxAge: 1, instanceRefresh: 0.5, clockSkew: 0 };
    const environment = { COUNTERSIGN_ROTATION: JSON.stringify(seconds) };
    const inMilliseconds = { lead: 3e3, period: 4e3, hold: 20e3, jwksMaxAge: 1e3, instanceRefresh: 500, clockSkew: 0 };
    expect(resolveConfig({}, environment).rotation).toEqual({ ...DEFAULT_ROTATION, ...inMilliseconds });
    expect(resolveConfig({ rotation: { hold: 9_000 } }, environment).rotation.hold).toBe(9_000);
    expect(resolveConfig({}, { COUNTERSIGN_ROTATION: '{"lead":900}' }).rotation).toEqual({
      ...DEFAULT_ROTATION,
      lead: 900_000,
    });
  });

  it.each([
    ["not JSON", "lead=3", /^COUNTERSIGN_ROTATION: expected JSON such as/],
    ["not an object", "[3]", /^COUNTERSIGN_ROTATION: expected JSON such as/],
    ["an unknown name", '{"leed":3}', /^COUNTERSIGN_ROTATION: .*leed/],
    ["algorithms, not a duration", '{"algorithms":["ES256"]}', /^COUNTERSIGN_ROTATION: .*algorithms/],
    ["a string", '{"lead":"3"}', /^COUNTERSIGN_ROTATION: .*lead/],
    ["negative", '{"lead":-3}', /^COUNTERSIGN_ROTATION: .*lead/],
    ["a poll interval of zero", '{"instanceRefresh":0}', /^COUNTERSIGN_ROTATION: .*instanceRefresh/],
    ["an impossible policy", '{"lead":3}', /^COUNTERSIGN_ROTATION: lead 3 s is shorter than/],
    [
      "longer than 100 years",
      '{"hold":1e13}',
      /^COUNTERSIGN_ROTATION: hold: expected milliseconds from 0 to 3153600000000 \(100 years\)/,
    ],
  ])("rejects a COUNTERSIGN_ROTATION that is %s", (_, text, words) => {
    expect(mistakes({}, { COUNTERSIGN_ROTATION: text })).toEqual([expect.stringMatching(words)]);
  });

  it("ignores empty variables", () => {
    const empty = {
      COUNTERSIGN_PORT: "",
      COUNTERSIGN_HOST: " ",
      COUNTERSIGN_API_KEYS: " , ",
      COUNTERSIGN_MASTER_KEY: "",
    };
    expect(resolveConfig({}, empty)).toMatchObject({
      port: 3567,
      host: "127.0.0.1",
      apiKeys: [],
      masterKeys: undefined,
    });
  });

  it("lists every error at once, including conflicts between settings", () => {
    const lines = mistakes(
      {
        port: "80a",
        host: "0.0.0.0",
        dataDir: "",
        adminKeys: ["short"],
        maxRingAge: -1,
        rotation: { lead: 1_000, period: 500, hold: 0 },
      },
      { COUNTERSIGN_MASTER_KEY: "nope" },
    );
    // The order of the settings, then the conflicts between them.
    expect(lines.map((line) => line.split(":")[0])).toEqual([
      "port",
      "dataDir",
      "adminKeys",
      "COUNTERSIGN_MASTER_KEY",
      "maxRingAge",
      "rotation",
      "rotation",
      "rotation",
      "host",
    ]);
  });

  for (const port of ["-1", "65536", "1.5", "abc", "", "0x50", "99999999", "8 0", 70_000, 1.5, NaN]) {
    it(`rejects port ${JSON.stringify(port)}`, () => {
      const got = typeof port === "string" ? `"${port}"` : String(port);
      expect(mistakes({ port })).toEqual([`port: expected a number from 0 to 65535, got ${got}`]);
    });
  }

  it("accepts PostgreSQL with a master key, from the environment or an option, with a pool of 8 by default", () => {
    const environment = {
      COUNTERSIGN_DATABASE: "postgres://core:p%40ss@db.internal:5433/keys?sslmode=verify-full",
      COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url"),
      COUNTERSIGN_POOL_SIZE: "20",
    };
    expect(resolveConfig({}, environment)).toMatchObject({ database: environment.COUNTERSIGN_DATABASE, poolSize: 20 });
    const options = { database: "postgresql://db/keys", poolSize: 2 };
    expect(resolveConfig(options, environment)).toMatchObject(options);
    expect(resolveConfig({}, { ...environment, COUNTERSIGN_DATABASE: " " }).database).toBeUndefined();
  });

  it("rejects PostgreSQL without a configured master key, along with other errors (S8)", () => {
    const database = "postgres://core@db/keys";
    expect(mistakes({ database, port: "x" })).toEqual([
      'port: expected a number from 0 to 65535, got "x"',
      expect.stringMatching(/^database: PostgreSQL requires a master key; .*COUNTERSIGN_MASTER_KEY/),
    ]);
    const masterKey = { COUNTERSIGN_MASTER_KEY: "nope" };
    expect(mistakes({ database }, masterKey)).toEqual([
      expect.stringMatching(/^COUNTERSIGN_MASTER_KEY: expected 32 bytes/),
    ]);
  });

  for (const database of [
    "db.internal",
    "mysql://core:hunter2@db/keys",
    "postgres://core:hunter2@",
    "postgres:///keys",
    "postgres://core:hunter2/x@db/keys",
    "postgres://core:hunter2%zz@db/keys",
    "postgres://core:hunter2@db:99999/keys",
    "",
  ]) {
    it(`rejects ${JSON.stringify(database)} as a database, and does not print it (S6)`, () => {
      const masterKey = randomBytes(32).toString("base64url");
      const lines = mistakes({ database }, { COUNTERSIGN_MASTER_KEY: masterKey });
      expect(lines).toEqual([expect.stringMatching(/^database: expected postgres:\/\/USER:PASSWORD@HOST:PORT\/NAME/)]);
      expect(lines.join()).not.toContain("hunter2");
    });
  }

  for (const poolSize of [0, 1, 1001, "many", "", -5, 2.5]) {
    it(`rejects a pool of ${JSON.stringify(poolSize)}`, () => {
      expect(mistakes({ poolSize })).toEqual([
        expect.stringMatching(/^poolSize: expected a number from 2 to 1000, got /),
      ]);
    });
  }

  it("names a setting as the user types it: option, flag or variable", () => {
    const optionName = (option: string) => `--${option}`;
    expect(() => resolveConfig({ port: "70000" }, {}, { optionName })).toThrow(
      '--port: expected a number from 0 to 65535, got "70000"',
    );
    expect(mistakes({}, { COUNTERSIGN_PORT: "70000", COUNTERSIGN_API_KEYS: "short" })).toEqual([
      'COUNTERSIGN_PORT: expected a number from 0 to 65535, got "70000"',
      "COUNTERSIGN_API_KEYS: must have at least 20 characters from A-Z a-z 0-9 = _ -",
    ]);
  });

  it("escapes and truncates what it quotes", () => {
    expect(mistakes({ port: `\u001b[2J${"9".repeat(100)}` })).toEqual([
      `port: expected a number from 0 to 65535, got "\\u001b[2J${"9".repeat(76)}…"`,
    ]);
  });

  it("accepts ports as numbers and strings", () => {
    expect([0, "0", 65_535, "3567"].map((port) => resolveConfig({ port }, {}).port)).toEqual([0, 0, 65_535, 3567]);
  });

  for (const maxRingAge of [0, -1, NaN]) {
    it(`rejects maxRingAge ${maxRingAge}`, () => {
      expect(mistakes({ maxRingAge })).toEqual([
        expect.stringMatching(/^maxRingAge: expected a number of milliseconds above 0, got /),
      ]);
    });
  }

  it("reads maxRingAge in seconds, and the signing algorithms", () => {
    const environment = { COUNTERSIGN_MAX_RING_AGE: "7200", COUNTERSIGN_ALGORITHMS: "ES256, Ed25519" };
    const { maxRingAge, rotation } = resolveConfig({}, environment);
    expect([maxRingAge, rotation]).toEqual([7_200_000, { ...DEFAULT_ROTATION, algorithms: ["ES256", "Ed25519"] }]);
    const options = { maxRingAge: 1_000, rotation: { algorithms: ["RS256", "ES256"] as const } };
    expect(resolveConfig(options, environment)).toMatchObject({ maxRingAge: 1_000, rotation: DEFAULT_ROTATION });
    for (const text of ["0", "-5", "an hour"]) {
      expect(mistakes({}, { COUNTERSIGN_MAX_RING_AGE: text })).toEqual([
        `COUNTERSIGN_MAX_RING_AGE: expected a number of seconds above 0, got "${text}"`,
      ]);
    }
    expect(mistakes({}, { COUNTERSIGN_ALGORITHMS: "HS256" })).toEqual([
      "COUNTERSIGN_ALGORITHMS: expected some of RS256, ES256, Ed25519, each once",
    ]);
  });

  it("prefers a directory in an option to any store in the environment", () => {
    const environment = {
      COUNTERSIGN_DATABASE: "postgres://db/keys",
      COUNTERSIGN_DATA_DIR: "/data",
      COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url"),
    };
    expect(resolveConfig({}, environment)).toMatchObject({ database: "postgres://db/keys" });
    expect(resolveConfig({ dataDir: "x" }, environment)).toMatchObject({ database: undefined, dataDir: "x" });
    const two = mistakes({ dataDir: "x", database: "postgres://db/keys" }, environment);
    expect(two).toEqual(["database and dataDir are mutually exclusive; set only one"]);
  });

  it("reads the path of the master key file, and rejects two sources of a master key", () => {
    const environment = { COUNTERSIGN_MASTER_KEY_FILE: "/run/secrets/master-key" };
    expect(resolveConfig({ database: "postgres://db/keys" }, environment)).toMatchObject({
      masterKeys: undefined,
      masterKeyFile: "/run/secrets/master-key",
    });
    const both = { ...environment, COUNTERSIGN_MASTER_KEY: randomBytes(32).toString("base64url") };
    expect(mistakes({}, both)).toEqual([
      expect.stringMatching(/MASTER_KEY and .*MASTER_KEY_FILE are mutually exclusive/),
    ]);
  });

  const badKeys = [
    "",
    "short",
    "x".repeat(19),
    "with blank with blank",
    "kéy-kéy-kéy-kéy-kéy-kéy",
    "a".repeat(30) + "\n",
    "a".repeat(20) + "+/",
  ];
  for (const key of badKeys) {
    it(`rejects ${JSON.stringify(key)} as a key, and does not print it (S1, S6)`, () => {
      for (const [options, name] of [
        [{ apiKeys: [key] }, "apiKeys"],
        [{ adminKeys: [key] }, "adminKeys"],
      ] as const) {
        const lines = mistakes(options);
        expect(lines).toEqual([`${name}: must have at least 20 characters from A-Z a-z 0-9 = _ -`]);
      }
    });
  }

  it("never prints the value of a key, for any number of errors (S6)", () => {
    const secret = "canary canary canary canary";
    const good = "canary-canary-canary-canary";
    const text = mistakes(
      { host: "0.0.0.0", port: "x", apiKeys: [secret, good], adminKeys: [secret, good] },
      { COUNTERSIGN_MASTER_KEY: secret, COUNTERSIGN_API_KEYS: secret },
    ).join("\n");
    expect(text).toContain("apiKeys");
    expect(text).toContain("COUNTERSIGN_MASTER_KEY");
    expect(text).not.toContain("canary");
  });

  it("rejects a key that is both an API key and an admin key (S2)", () => {
    expect(mistakes({ apiKeys: [API_KEY], adminKeys: [ADMIN_KEY, API_KEY] })).toEqual([
      expect.stringMatching(/^adminKeys: must differ from every API key, otherwise services get admin access$/),
    ]);
  });

  for (const text of [
    "AAAA",
    "x".repeat(43) + "=",
    randomBytes(31).toString("base64url"),
    randomBytes(33).toString("base64url"),
    "A".repeat(42) + "B",
  ]) {
    it(`rejects a master key that is not 32 bytes of base64url (${text.length} characters)`, () => {
      expect(mistakes({}, { COUNTERSIGN_MASTER_KEY: text })).toEqual([
        expect.stringMatching(/^COUNTERSIGN_MASTER_KEY: expected 32 bytes as base64url \(43 characters\)/),
      ]);
    });
  }
});

describe("listening (S7)", () => {
  for (const host of [
    "0.0.0.0",
    "::",
    "192.168.1.1",
    "example.test",
    "127.0.0.1.example.test",
    "::ffff:10.0.0.1",
    "0",
  ]) {
    it(`on ${host} without an API key is rejected with advice`, () => {
      expect(mistakes({ host })).toEqual([
        expect.stringMatching(/^host: .*--api-key .*COUNTERSIGN_API_KEYS.*127\.0\.0\.1/),
      ]);
      expect(mistakes({ host, adminKeys: [ADMIN_KEY] })).toHaveLength(1); // An admin key protects another interface.
      expect(mistakes({ host, apiKeys: [API_KEY] })).toEqual([]);
    });
  }

  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LOCALHOST"]) {
    it(`on ${host} needs no API key`, () => {
      expect(mistakes({ host })).toEqual([]);
    });
  }
});
