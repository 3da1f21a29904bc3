import { createServer, type IncomingMessage, type RequestListener } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { afterAll } from "vitest";

export interface TestServer {
  /** `http://127.0.0.1:PORT` */
  readonly url: string;
  readonly port: number;
  /** Every request so far, oldest first. */
  readonly requests: IncomingMessage[];
  /** Requests whose path (without query) is this. */
  count(path: string): number;
  /** Connections opened so far. */
  connections(): number;
  close(): Promise<void>;
}

const open = new Set<TestServer>();
afterAll(async () => {
  for (const server of open) await server.close();
});

/** A real server on a loopback port; closed when the test file ends. */
export async function listen(handler: RequestListener): Promise<TestServer> {
  const requests: IncomingMessage[] = [];
  let connections = 0;
  const server = createServer((req, res) => {
    requests.push(req);
    handler(req, res);
  });
  // Otherwise a client whose event loop is busy for 5 s reuses a connection that the server has closed.
  server.keepAliveTimeout = 0;
  server.on("connection", () => connections++);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const self: TestServer = {
    url: `http://127.0.0.1:${port}`,
    port,
    requests,
    count: (path) => requests.filter((request) => request.url!.split("?")[0] === path).length,
    connections: () => connections,
    async close() {
      open.delete(self);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  open.add(self);
  return self;
}

/** A URL without a server: its port is below the ephemeral range, so no other test's server gets it. */
export function deadAddress(): string {
  return "http://127.0.0.1:1022";
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Sends exactly these lines over a socket; fetch would normalize them. */
export async function sendRaw(port: number, lines: readonly string[]): Promise<RawAnswer> {
  const text = await new Promise<string>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    let received = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => (received += chunk));
    socket.on("end", () => resolve(received));
    socket.on("error", reject);
    socket.write([...lines, "connection: close", "", ""].join("\r\n"), "latin1");
  });
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const [statusLine = "", ...fields] = head.split("\r\n");
  const headers = new Map(
    fields.map((field) => {
      const colon = field.indexOf(":");
      return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()] as const;
    }),
  );
  return { status: Number(statusLine.split(" ")[1]), headers, body: rest.join("\r\n\r\n") };
}

export async function readBody(req: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of req) text += String(chunk);
  return text;
}
