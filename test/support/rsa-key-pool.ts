// Gives `npm test` RSA keys from files. Generating one takes 0.1 to 0.4 s of CPU, a core needs three when it starts, and
// the suite starts hundreds of cores: without this file, half of its time. Keys are real and generated on demand; runs on
// the same checkout share them. No test file gets the same key twice, and cores in processes of their own generate theirs.
import crypto, { type KeyObject } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

const FOLDER = fileURLToPath(new URL("../../node_modules/.cache/countersign-test-keys/", import.meta.url));
const SIZE = 64;

mkdirSync(FOLDER, { recursive: true });
const files = readdirSync(FOLDER).filter((name) => name.endsWith(".pem"));
let stored = files.length;

function take(): KeyPair | undefined {
  const [file] = files.splice(Math.floor(Math.random() * files.length), 1);
  if (file === undefined) return undefined;
  const privateKey = crypto.createPrivateKey(readFileSync(FOLDER + file));
  return { privateKey, publicKey: crypto.createPublicKey(privateKey) };
}

function keep(pair: KeyPair): KeyPair {
  if (stored++ >= SIZE) return pair;
  const file = `${FOLDER}${crypto.randomUUID()}`;
  writeFileSync(file, pair.privateKey.export({ format: "pem", type: "pkcs8" }), { mode: 0o600 });
  renameSync(file, `${file}.pem`);
  return pair;
}

const { generateKeyPairSync, generateKeyPair } = crypto;
const generateLater = promisify(generateKeyPair) as (...parameters: unknown[]) => Promise<KeyPair>;
const generateNow = generateKeyPairSync as (...parameters: unknown[]) => KeyPair;

/** Reports whether the call asks for 2048 bits, the usual exponent and key objects. */
function isPooled(type: unknown, options: unknown): boolean {
  if (type !== "rsa") return false;
  const { modulusLength, publicExponent = 65_537, ...others } = options as Record<string, unknown>;
  return modulusLength === 2048 && publicExponent === 65_537 && Object.keys(others).length === 0;
}

/** Callers use it through `promisify` only. */
const later = async (type: unknown, options: unknown): Promise<KeyPair> =>
  isPooled(type, options) ? (take() ?? keep(await generateLater(type, options))) : generateLater(type, options);
const now = (type: unknown, options: unknown): KeyPair =>
  isPooled(type, options) ? (take() ?? keep(generateNow(type, options))) : generateNow(type, options);

Object.assign(crypto, {
  generateKeyPairSync: now,
  generateKeyPair: Object.assign(
    (...parameters: Parameters<typeof generateKeyPair>) => generateKeyPair(...parameters),
    {
      [promisify.custom]: later,
    },
  ),
});
syncBuiltinESMExports();
