// Compares our verifier with its peers, one token at a time in one process, each with its fastest documented settings.
// Each call makes a new string from bytes, like a request header: V8 has already cached the hash of a used string.
import { createVerify, verify } from "node:crypto";
import { createVerifier } from "countersign";
import { createVerifier as createFastVerifier } from "fast-jwt";
import { importJWK, jwtVerify } from "jose";
import jsonwebtoken from "jsonwebtoken";
import { interleave } from "../rounds.mjs";
import { issue, publicKeyOf, serveKeySet } from "./issuer.mjs";

/**
 * @typedef {import("../rounds.mjs").Contestant} Contestant
 * @typedef {import("../rounds.mjs").RatesByName} RatesByName
 * @typedef {import("./issuer.mjs").TokenAlgorithm} TokenAlgorithm
 */

const SAME_TOKEN_WORKS = 50_000;

/** Verifies the same token repeatedly. @param {number} rounds @returns {Promise<RatesByName>} */
export async function sameToken(rounds) {
  const token = Buffer.from(issue("RS256"));
  const { jwksUri, close } = await serveKeySet();
  const ours = createVerifier({ jwksUri });
  const theirs = cachingFastJwt();
  const rates = await interleave({
    works: SAME_TOKEN_WORKS,
    rounds,
    contestants: [
      {
        name: "countersign",
        async run(from, to) {
          for (let i = from; i < to; i++) {
            const decision = await ours.verify(token.toString("latin1"));
            if (!decision.allowed) throw new Error(decision.reason);
          }
        },
      },
      {
        name: "fast-jwt, cached",
        run(from, to) {
          for (let i = from; i < to; i++) theirs(token.toString("latin1"));
        },
      },
    ],
  });
  ours.close();
  close();
  return rates;
}

/** With the key builder that its documentation recommends for speed, without the warning that it causes. */
function cachingFastJwt() {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  const verifier = createFastVerifier({ ...fastJwtOptions("RS256"), cache: true, cacheKeyBuilder: (token) => token });
  process.emitWarning = emitWarning;
  return verifier;
}

/**
 * A token that was never seen before, each time. Each is verified once by each peer and round, and our verifier is a new
 * one in each round, so that its cache knows none of them.
 *
 * @param {TokenAlgorithm} algorithm @param {number} rounds @param {number} works
 * @returns {Promise<RatesByName>}
 */
export async function newTokens(algorithm, rounds, works) {
  const tokens = Array.from({ length: works }, () => Buffer.from(issue(algorithm)));
  const { jwksUri, close } = await serveKeySet();
  const ours = freshVerifier(algorithm, jwksUri, tokens);
  const peers = [fastJwt(algorithm, tokens), await jose(algorithm, tokens)];
  if (algorithm === "RS256") peers.push(...jsonWebTokens(tokens));
  peers.push(signatureAlone(algorithm, tokens));
  const rates = await interleave({ contestants: [ours, ...peers], works, rounds });
  ours.close();
  close();
  return rates;
}

/** @param {TokenAlgorithm} algorithm @param {string} jwksUri @param {readonly Buffer[]} tokens */
function freshVerifier(algorithm, jwksUri, tokens) {
  /** @type {import("countersign").Verifier | undefined} */
  let verifier;
  const known = issue(algorithm);
  return {
    name: "countersign",
    async prepare() {
      verifier?.close();
      verifier = createVerifier({ jwksUri });
      await verifier.verify(known); // it has its keys
    },
    /** @param {number} from @param {number} to */
    async run(from, to) {
      for (let i = from; i < to; i++) {
        const decision = await verifier?.verify(tokens[i]?.toString("latin1"));
        if (!decision?.allowed) throw new Error(decision?.reason);
      }
    },
    close: () => verifier?.close(),
  };
}

/** @param {TokenAlgorithm} algorithm @param {readonly Buffer[]} tokens @returns {Contestant} */
function fastJwt(algorithm, tokens) {
  const verifyFast = createFastVerifier(fastJwtOptions(algorithm));
  return {
    name: "fast-jwt",
    run(from, to) {
      for (let i = from; i < to; i++) verifyFast(tokens[i]?.toString("latin1") ?? "");
    },
  };
}

/** @param {TokenAlgorithm} algorithm @returns {{ key: string, algorithms: TokenAlgorithm[] }} */
function fastJwtOptions(algorithm) {
  return { key: publicKeyOf(algorithm).export({ type: "spki", format: "pem" }).toString(), algorithms: [algorithm] };
}

/** @param {TokenAlgorithm} algorithm @param {readonly Buffer[]} tokens @returns {Promise<Contestant>} */
async function jose(algorithm, tokens) {
  const key = await importJWK(publicKeyOf(algorithm).export({ format: "jwk" }), algorithm);
  const options = { algorithms: [algorithm] };
  return {
    name: "jose",
    async run(from, to) {
      for (let i = from; i < to; i++) await jwtVerify(tokens[i]?.toString("latin1") ?? "", key, options);
    },
  };
}

/**
 * With a PEM, as in its documentation, and with a KeyObject, which is faster.
 *
 * @param {readonly Buffer[]} tokens @returns {Contestant[]}
 */
function jsonWebTokens(tokens) {
  const publicKey = publicKeyOf("RS256");
  const keys = { PEM: publicKey.export({ type: "spki", format: "pem" }), KeyObject: publicKey };
  /** @type {import("jsonwebtoken").VerifyOptions} */
  const options = { algorithms: ["RS256"] };
  return Object.entries(keys).map(([form, key]) => ({
    name: `jsonwebtoken, ${form}`,
    run(from, to) {
      for (let i = from; i < to; i++) jsonwebtoken.verify(tokens[i]?.toString("latin1") ?? "", key, options);
    },
  }));
}

/** Not a peer, but the upper limit for all of them. @param {TokenAlgorithm} algorithm @param {readonly Buffer[]} tokens @returns {Contestant} */
function signatureAlone(algorithm, tokens) {
  const key = publicKeyOf(algorithm);
  const parts = tokens.map((token) => {
    const end = token.lastIndexOf(".");
    return { input: token.subarray(0, end), signature: Buffer.from(token.toString("latin1", end + 1), "base64url") };
  });
  /** @type {Record<TokenAlgorithm, (input: Buffer, signature: Buffer) => boolean>} */
  const checks = {
    RS256: (input, signature) => createVerify("sha256").update(input).verify(key, signature),
    ES256: (input, signature) => verify("sha256", input, { key, dsaEncoding: "ieee-p1363" }, signature),
    EdDSA: (input, signature) => verify(null, input, key, signature),
  };
  const check = checks[algorithm];
  return {
    name: "the signature alone",
    run(from, to) {
      for (const { input, signature } of parts.slice(from, to)) {
        if (!check(input, signature)) throw new Error("a signature is not good");
      }
    },
  };
}
