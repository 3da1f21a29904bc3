import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterAll } from "vitest";

/** A proxy that simulates network faults. */
export interface Proxy {
  readonly port: number;
  /** Delay in each direction, in milliseconds. */
  delay: number;
  /** Drops all data without closing connections. */
  silent: boolean;
  /** Drops PostgreSQL's notifications and passes everything else. */
  dropNotifications: boolean;
  /** Number of open connections. */
  readonly open: number;
  /** Most connections open at the same time since the last read. */
  mostOpen(): number;
  /** Resets every connection. */
  cut(): void;
  /** The server of new connections. */
  target: { host: string; port: number };
}

const closings: (() => void)[] = [];
afterAll(() => {
  for (const close of closings.splice(0)) close();
});

export async function startProxy(target: { host: string; port: number }): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>();
  let most = 0;
  const server = createServer((client) => {
    const upstream = connect(proxy.target.port, proxy.target.host);
    const pair = [client, upstream] as const;
    pairs.add(pair);
    most = Math.max(most, pairs.size);
    const end = () => {
      pairs.delete(pair);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of pair) {
      socket.setNoDelay(true);
      socket.on("error", end);
      socket.on("close", end);
    }
    const withoutNotifications = notificationFilter();
    const pass = (to: Socket, bytes: Buffer) => {
      if (proxy.silent) return;
      if (proxy.delay === 0) to.write(bytes);
      else setTimeout(() => to.writable && to.write(bytes), proxy.delay);
    };
    client.on("data", (bytes) => pass(upstream, bytes));
    upstream.on("data", (bytes) => pass(client, withoutNotifications(bytes, proxy.dropNotifications)));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const proxy: Proxy = {
    port: (server.address() as AddressInfo).port,
    delay: 0,
    silent: false,
    dropNotifications: false,
    target,
    get open() {
      return pairs.size;
    },
    mostOpen() {
      const before = most;
      most = pairs.size;
      return before;
    },
    cut() {
      for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    },
  };
  closings.push(() => {
    proxy.cut();
    server.close();
  });
  return proxy;
}

/** Returns the URL of the same database through the proxy. */
export function through(proxy: { host?: string; port: number }, url: string): string {
  const detour = new URL(url);
  detour.hostname = proxy.host ?? "127.0.0.1";
  detour.port = String(proxy.port);
  return detour.href;
}

/** Splits a server's data into messages: a letter, four bytes of length (which counts itself), the content. */
function notificationFilter(): (bytes: Buffer, drop: boolean) => Buffer {
  let rest = Buffer.alloc(0);
  return (bytes, drop) => {
    rest = Buffer.concat([rest, bytes]);
    const kept: Buffer[] = [];
    while (rest.length >= 5) {
      const length = 1 + rest.readUInt32BE(1);
      if (rest.length < length) break;
      if (!drop || rest[0] !== "A".charCodeAt(0)) kept.push(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    return Buffer.concat(kept);
  };
}
