import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { afterAll } from "vitest";

/** A way to a server on which things go wrong. */
export interface Proxy {
  readonly port: number;
  /** Milliseconds that everything takes longer, either way. */
  delay: number;
  /** Nothing gets through any more, and nobody is told. */
  silent: boolean;
  /** PostgreSQL's notifications are left out; everything else gets through. */
  dropNotifications: boolean;
  /** Connections that are open. */
  readonly open: number;
  /** The most that have been open at once since it was last asked. */
  mostOpen(): number;
  /** Resets every connection. */
  cut(): void;
  /** New connections lead there. */
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

/** The same database, by way of the proxy. */
export function through(proxy: { host?: string; port: number }, url: string): string {
  const detour = new URL(url);
  detour.hostname = proxy.host ?? "127.0.0.1";
  detour.port = String(proxy.port);
  return detour.href;
}

/** Cuts what a server sends into messages: a letter, four bytes of length (which counts itself), the content. */
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
