import { generateKeyPairSync, sign } from "node:crypto";

/** A self-signed certificate for `localhost`, as PEM: node:crypto can read certificates, but not create them. */
export function selfSigned(): { readonly key: string; readonly cert: string } {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const ecdsaWithSha256 = der(0x30, oid("2a8648ce3d040302"));
  const name = der(0x30, der(0x31, der(0x30, oid("550403"), der(0x0c, Buffer.from("localhost")))));
  const day = (offset: number) =>
    der(
      0x17,
      Buffer.from(
        `${new Date(Date.now() + offset * 86_400_000)
          .toISOString()
          .replace(/[-:T]|\..*/g, "")
          .slice(2)}Z`,
      ),
    );
  const authority = der(0x30, oid("551d13"), der(0x04, der(0x30, der(0x01, Buffer.from([0xff])))));
  const alternative = der(0x30, oid("551d11"), der(0x04, der(0x30, der(0x82, Buffer.from("localhost")))));
  const body = der(
    0x30,
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.from([1])),
    ...[ecdsaWithSha256, name, der(0x30, day(-1), day(1)), name],
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, der(0x30, authority, alternative)),
  );
  const signature = der(0x03, Buffer.from([0]), sign("sha256", body, privateKey));
  const cert = der(0x30, body, ecdsaWithSha256, signature).toString("base64").replace(/.{64}/g, "$&\n");
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${cert}\n-----END CERTIFICATE-----\n`,
  };
}

const oid = (hex: string) => der(0x06, Buffer.from(hex, "hex"));

function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const head =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), content]);
}
