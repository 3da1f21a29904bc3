import { base64url, headerOf, signatureOf, type TestKey } from "./keys.ts";
import type { Edit, Mutation, Part } from "./token-mutation.ts";

type EditOf<Name extends Edit["edit"]> = Extract<Edit, { edit: Name }>;

/** Applies a mutation to the valid token of `key` with `claims`: stage by stage, from members to characters. */
export function mutatedToken({ edits, signedAgain }: Mutation, key: TestKey, claims: object): string {
  const editsOf = <Name extends Edit["edit"]>(name: Name) =>
    edits.filter((edit): edit is EditOf<Name> => edit.edit === name);
  const good = `${base64url(headerOf(key))}.${base64url(claims)}`;
  const encoded = (part: Part, object: object) => {
    let text = withMembers(
      object,
      editsOf("member").filter((edit) => edit.part === part),
    );
    for (const edit of editsOf("whole")) if (edit.part === part) text = edit.text;
    for (const edit of editsOf("insert")) if (edit.part === part) text = spliced(text, edit.at, 0, edit.text);
    for (const edit of editsOf("cut")) if (edit.part === part) text = text.slice(0, placeIn(text, edit.at));
    const bytes = [...Buffer.from(text)];
    for (const edit of editsOf("byte")) if (edit.part === part) bytes.splice(placeIn(bytes, edit.at), 0, edit.byte);
    return spelled(base64url(Uint8Array.from(bytes)), part, editsOf("spell"));
  };
  const input = `${encoded("header", headerOf(key))}.${encoded("payload", claims)}`;
  let signature = signatureOf(key, signedAgain ? input : good);
  for (const edit of editsOf("sign")) signature = Buffer.from(otherSignature(signature, edit));
  let token = `${input}.${spelled(base64url(signature), "signature", editsOf("spell"))}`;
  for (const edit of editsOf("token")) token = reshaped(token, edit);
  for (const { how, at, text } of editsOf("character"))
    token = spliced(token, at, how === "insert" ? 0 : 1, how === "drop" ? "" : text);
  return token;
}

const placeIn = (text: { length: number }, thousandths: number) => Math.floor((text.length * thousandths) / 1000);

function spliced(text: string, at: number, removed: number, inserted: string): string {
  const place = Math.min(placeIn(text, at), text.length - removed);
  return text.slice(0, place) + inserted + text.slice(place + removed);
}

function withMembers(object: object, edits: readonly EditOf<"member">[]): string {
  let members = Object.entries(object).map(([name, value]) => [JSON.stringify(name), JSON.stringify(value)]);
  for (const { how, name, value } of edits) {
    const known = members.find((member) => member[0] === name);
    if (how === "drop") members = members.filter((member) => member !== known);
    else if (how === "set" && known !== undefined) known[1] = value;
    else members.push([name, value]);
  }
  return `{${members.map((member) => member.join(":")).join(",")}}`;
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

function spelled(text: string, part: Part | "signature", edits: readonly EditOf<"spell">[]): string {
  for (const edit of edits) {
    if (edit.part !== part || text === "") continue;
    const half = text.length >> 1;
    switch (edit.how) {
      case "padding":
        text += "=".repeat((4 - (text.length % 4)) % 4);
        break;
      case "alphabet":
        text = text.replaceAll("-", "+").replaceAll("_", "/");
        break;
      case "unused bits":
        // Whole groups have no unused bits, so this changes a byte.
        text = text.slice(0, -1) + ALPHABET[ALPHABET.indexOf(text.at(-1)!) ^ 1];
        break;
      case "space":
        text = `${text.slice(0, half)} ${text.slice(half)}`;
        break;
      case "line end":
        text += "\r\n";
    }
  }
  return text;
}

/** The order of P-256. */
const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

function otherSignature(signature: Buffer, { how, at }: EditOf<"sign">): Uint8Array {
  const half = signature.length >> 1;
  const [r, s] = [signature.subarray(0, half), signature.subarray(half)];
  const zeros = Buffer.alloc(half);
  switch (how) {
    case "truncate":
      return signature.subarray(0, placeIn(signature, at));
    case "extend":
      return Buffer.concat([signature, Buffer.alloc(1)]);
    case "zeros":
      return Buffer.alloc(signature.length);
    case "flip": {
      const place = Math.min(placeIn(signature, at), signature.length - 1);
      return signature.map((byte, i) => (i === place ? byte ^ (1 << (at % 8)) : byte));
    }
    case "der": {
      const integer = (number: Uint8Array) => [2, number.length + 1, 0, ...number];
      const body = [...integer(r), ...integer(s)];
      return Uint8Array.from([0x30, body.length, ...body]);
    }
    case "twin": {
      const value = half === 32 ? BigInt(`0x${s.toString("hex")}`) : 0n;
      const twin = value > 0n && value < ORDER ? (ORDER - value).toString(16).padStart(64, "0") : s.toString("hex");
      return Buffer.concat([r, Buffer.from(twin, "hex")]);
    }
    case "r = 0":
      return Buffer.concat([zeros, s]);
    case "s = 0":
      return Buffer.concat([r, zeros]);
    case "order":
      return Buffer.concat([Buffer.from(ORDER.toString(16), "hex"), s]);
    case "none":
      return zeros.subarray(0, 0);
    case "twice":
      return Buffer.concat([signature, signature]);
    case "reverse":
      return Buffer.from(signature).reverse();
  }
}

function reshaped(token: string, { how }: EditOf<"token">): string {
  const [header = "", payload = "", signature = ""] = token.split(".");
  switch (how) {
    case "dot before":
      return `.${token}`;
    case "dot after":
      return `${token}.`;
    case "no signature":
      return `${header}.${payload}`;
    case "no payload":
      return `${header}..${signature}`;
    case "four parts":
      return `${token}.${signature}`;
    case "five parts":
      return `${header}.AAAA.AAAA.${payload}.${signature}`;
    case "swapped":
      return `${payload}.${header}.${signature}`;
    case "twice":
      return `${token}${token}`;
    case "flattened":
      return JSON.stringify({ protected: header, payload, signature });
    case "general":
      return JSON.stringify({ payload, signatures: [{ protected: header, signature }] });
    case "quoted":
      return `"${token}"`;
    case "upper case":
      return token.toUpperCase();
  }
}
