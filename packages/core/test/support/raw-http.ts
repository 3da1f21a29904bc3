import { connect } from "node:net";

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/**
 * Sends bytes that `fetch` would not, and reads until the core closes the connection. The request must therefore have
 * `Connection: close`.
 */
export async function sendRaw(port: number, request: string | Buffer): Promise<RawAnswer> {
  const received = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let text = "";
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => (text += chunk));
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // After its response, the core can reset a connection with an unread body.
      if (text === "" || error.code !== "ECONNRESET") reject(error);
    });
    socket.on("close", () => resolve(text));
    socket.write(request);
  });
  const [head = "", ...rest] = received.split("\r\n\r\n");
  const [statusLine = "", ...lines] = head.split("\r\n");
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  return { status: Number(statusLine.split(" ")[1]), headers, body: rest.join("\r\n\r\n") };
}

/** Returns the bytes of a request, with default `Host` and `Connection: close` headers. */
export function rawRequest(requestLine: string, headers: readonly string[] = [], body = ""): string {
  const names = headers.map((line) => line.slice(0, line.indexOf(":")).toLowerCase());
  const all = [...headers];
  if (!names.includes("host")) all.unshift("Host: 127.0.0.1");
  if (!names.includes("connection")) all.push("Connection: close");
  return [`${requestLine} HTTP/1.1`, ...all, "", body].join("\r\n");
}
