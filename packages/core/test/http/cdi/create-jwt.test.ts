import { createLocalJWKSet, jwtVerify, type JSONWebKeySet } from "jose";
import { beforeAll, describe, expect, it } from "vitest";
import { decodeJwt } from "countersign/protocol";
import { expectText, partsOf, startTestCore, type Answer, type TestCore } from "../../support/core.ts";

let core: TestCore;
beforeAll(async () => {
  core = await startTestCore();
});

const invalidField = (answer: Answer, name: string) =>
  expectText(answer, 400, `Field name '${name}' is invalid in JSON input`);

describe("a token", () => {
  it("verifies with jose and the published set, with the claims and the header of the contract", async () => {
    const before = Math.floor(Date.now() / 1000);
    const jwt = await core.mint({ payload: { sub: "orders", deep: { list: [1, "zwei", null, true] } }, validity: 600 });
    const after = Math.ceil(Date.now() / 1000);
    const keys = await core.keys();
    const jwks = createLocalJWKSet({ keys } as unknown as JSONWebKeySet);
    const { payload, protectedHeader } = await jwtVerify(jwt, jwks, { issuer: "https://a.test" });
    const { iat, exp, jti, ...rest } = payload;
    expect(rest).toEqual({ iss: "https://a.test", sub: "orders", deep: { list: [1, "zwei", null, true] } });
    expect(exp).toBe(iat! + 600);
    expect(iat).toBeGreaterThanOrEqual(before);
    expect(iat).toBeLessThanOrEqual(after);
    expect(jti).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(protectedHeader).toEqual({ alg: "RS256", typ: "JWT", kid: keys[0]!.kid });
  });

  it("is returned with exactly status and jwt, as JSON, without content sniffing", async () => {
    const answer = await core.post();
    expect(Object.keys(answer.json)).toEqual(["status", "jwt"]);
    expect(answer.headers.get("content-type")).toBe("application/json; charset=utf-8");
    expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    expect(answer.headers.get("set-cookie")).toBeNull();
  });

  it("is signed with the static key by default, and with the dynamic key if requested", async () => {
    const kidOf = async (fields: Record<string, unknown>) => partsOf(await core.mint(fields)).header["kid"];
    const uuid = /^s-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
    expect(await kidOf({})).toMatch(uuid);
    expect(await kidOf({ useStaticSigningKey: true })).toMatch(uuid);
    expect(await kidOf({ useStaticSigningKey: false })).toMatch(/^d-\d{13}$/);
  });

  it("is always static below cdi-version 2.21", async () => {
    const fields = { useStaticSigningKey: false };
    const kindIn = async (version: string) => {
      const { header } = partsOf(await core.mint(fields, { headers: { "cdi-version": version } }));
      return (header["kid"] as string).slice(0, 2);
    };
    for (const version of ["2.7", "2.9", "2.10", "2.20"]) expect(await kindIn(version)).toBe("s-");
    for (const version of ["2.21", "3.0", "5.4", "5.6"]) expect(await kindIn(version)).toBe("d-");
  });

  it("has another jti every time, unless the payload has one (C10)", async () => {
    const jtis = await Promise.all([1, 2, 3].map(async () => partsOf(await core.mint()).claims["jti"]));
    expect(new Set(jtis).size).toBe(3);
    expect(partsOf(await core.mint({ payload: { jti: "mine" } })).claims["jti"]).toBe("mine");
  });

  it("has the payload's iss if there is one (C10)", async () => {
    expect(partsOf(await core.mint({ payload: { iss: "https://own.test" } })).claims["iss"]).toBe("https://own.test");
  });

  it("can be valid for a hundred years (C4)", async () => {
    const { claims } = partsOf(await core.mint({ validity: 3_153_600_000 }));
    expect((claims["exp"] as number) - (claims["iat"] as number)).toBe(3_153_600_000);
  });

  it("preserves text of any script and emoji", async () => {
    const payload = { имя: "田中さん", emoji: "👩‍💻", empty: "", quote: '"\\\u0000\u001f' };
    expect(partsOf(await core.mint({ payload })).claims).toMatchObject(payload);
  });
});

describe("algorithm", () => {
  it("ignores case", async () => {
    for (const algorithm of ["RS256", "rs256", "Rs256"]) {
      expect(partsOf(await core.mint({ algorithm })).header["alg"]).toBe("RS256");
    }
  });

  for (const algorithm of [
    "",
    "RS512",
    "HS256",
    "none",
    "None",
    "ES384",
    "Ed25519",
    "EdDSA",
    "RS256 ",
    "constructor",
  ]) {
    it(`responds to ${JSON.stringify(algorithm)} with UNSUPPORTED_ALGORITHM_ERROR (T1, T3)`, async () => {
      const answer = await core.post({ algorithm });
      expect([answer.status, answer.json]).toEqual([200, { status: "UNSUPPORTED_ALGORITHM_ERROR" }]);
    });
  }
});

describe("fields", () => {
  const wrongTypes: Record<string, unknown[]> = {
    payload: [undefined, null, [], "{}", 1, true],
    algorithm: [undefined, null, 1, {}, ["RS256"], true],
    jwksDomain: [undefined, null, 1, {}, ["https://a.test"], false],
    validity: [undefined, null, "10", 1.5, -0.5, {}, [10], true],
    useStaticSigningKey: [null, "false", 0, 1, {}, []],
  };
  for (const [name, values] of Object.entries(wrongTypes)) {
    for (const value of values) {
      it(`reject ${name} = ${value === undefined ? "(missing)" : JSON.stringify(value)}, naming the field`, async () => {
        invalidField(await core.post({ [name]: value }), name);
      });
    }
  }

  it("accept a missing useStaticSigningKey, an empty payload, an empty jwksDomain and unknown fields", async () => {
    for (const fields of [{ useStaticSigningKey: undefined }, { payload: {} }, { jwksDomain: "" }, { other: [1] }]) {
      expect((await core.post(fields)).status).toBe(200);
    }
  });

  for (const validity of [0, -1, -3600, -1e308]) {
    it(`reject validity ${validity}`, async () => {
      expectText(await core.post({ validity }), 400, "validity must be greater than or equal to 0");
    });
  }

  for (const validity of [3_153_600_001, 1e15, 1e308]) {
    it(`reject validity ${validity}: over a hundred years (C3)`, async () => {
      const answer = await core.post({ validity });
      expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(/^validity .*3153600000/)]);
    });
  }

  it("reject a number that becomes infinite, anywhere: a token cannot contain it (C3)", async () => {
    for (const [payload, validity] of [
      ["{}", "1e400"],
      ['{"a":[-1e999]}', "60"],
    ]) {
      const body = `{"payload":${payload},"algorithm":"RS256","jwksDomain":"a","validity":${validity}}`;
      const answer = await core.call("/recipe/jwt", { method: "POST", body });
      expectText(answer, 400, "Invalid Json Input: a number is too large");
    }
  });
});

describe("registered claims in the payload (C10)", () => {
  for (const name of ["exp", "iat"]) {
    it(`rejects ${name} with any value, and names validity`, async () => {
      for (const value of [4_102_444_800, null, "1", 0, {}]) {
        const answer = await core.post({ payload: { [name]: value } });
        expect(answer.status).toBe(400);
        expect(answer.text).toContain(`'${name}'`);
        expect(answer.text).toContain("validity");
      }
    });
  }

  const mistyped: [string, unknown][] = [
    ...[1, null, ["a"], {}, "a\0b"].flatMap(
      (v) =>
        [
          ["iss", v],
          ["sub", v],
          ["jti", v],
        ] as [string, unknown][],
    ),
    ...[1, null, [1], [["a"]], {}, ["a", null]].map((value) => ["aud", value] as [string, unknown]),
    ...["1", null, -1, 1.5, 1e308, true, []].map((value) => ["nbf", value] as [string, unknown]),
  ];
  for (const [name, value] of mistyped) {
    it(`rejects ${name} = ${JSON.stringify(value)}, which our verifier would reject (C1, C2, C3, T21)`, async () => {
      const answer = await core.post({ payload: { [name]: value } });
      expect(answer.status).toBe(400);
      expect(answer.text).toContain(`'${name}'`);
    });
  }

  it("accepts sub, aud, nbf and source of the right types: an API key can set any claim", async () => {
    const payload = { sub: "a", aud: ["b", "c"], nbf: 0, source: "microservice" };
    expect(partsOf(await core.mint({ payload })).claims).toMatchObject(payload);
  });
});

describe("tokens that our own verifier would reject are not issued", () => {
  it("rejects a token over 8 KiB, naming the limit, and issues the largest that fits (T19)", async () => {
    const mintWith = (length: number) => core.post({ payload: { jti: "j", filler: "x".repeat(length) } });
    let fits = 0;
    let tooMuch = 10_000;
    while (tooMuch - fits > 1) {
      const middle = (fits + tooMuch) >> 1;
      if ((await mintWith(middle)).status === 200) fits = middle;
      else tooMuch = middle;
    }
    const largest = (await mintWith(fits)).json["jwt"] as string;
    expect(largest.length).toBeGreaterThan(8192 - 4);
    expect(largest.length).toBeLessThanOrEqual(8192);
    expect(decodeJwt(largest).ok).toBe(true);
    const refused = await mintWith(tooMuch);
    expect([refused.status, refused.text]).toEqual([400, expect.stringContaining("8192")]);
  });

  const body = (payload: string) => `{"payload":${payload},"algorithm":"RS256","jwksDomain":"a","validity":60}`;
  const send = (payload: string) => core.call("/recipe/jwt", { method: "POST", body: body(payload) });

  for (const payload of ['{"sub":"a","sub":"admin"}', '{"sub":"a","s\\u0075b":"b"}', '{"x":[{"y":{"z":1,"z":2}}]}']) {
    it(`rejects ${payload} because of a duplicate name (T11)`, async () => {
      const answer = await send(payload);
      expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(/twice/)]);
    });
  }

  for (const payload of [
    '{"__proto__":{"admin":true}}',
    '{"a":[{"constructor":1}]}',
    '{"prototype":1}',
    '{"\\u005f_proto__":1}',
  ]) {
    it(`rejects ${payload} because of a forbidden name (C7)`, async () => {
      const answer = await send(payload);
      expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(/__proto__.*constructor.*prototype/)]);
    });
  }

  for (const payload of ['{"a":"\\ud800"}', '{"\\udc00":1}', '{"sub":"\\ud800\\ud800"}']) {
    it(`rejects ${payload}: a lone surrogate (T21)`, async () => {
      const answer = await send(payload);
      expect([answer.status, answer.text]).toEqual([400, expect.stringMatching(/surrogate/)]);
    });
  }

  it("rejects a NUL in jwksDomain, which becomes iss (C1)", async () => {
    const answer = await core.post({ jwksDomain: "https://a.test\0.evil" });
    expect([answer.status, answer.text]).toEqual([400, expect.stringContaining("jwksDomain")]);
  });
});
