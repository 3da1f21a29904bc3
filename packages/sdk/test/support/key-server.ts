import { listen, type TestServer } from "./http.ts";
import type { Jwk, TestKey } from "./keys.ts";

/** A key set over real HTTP whose responses a test can change at any time. */
export interface KeyServer extends TestServer {
  readonly jwksUri: string;
  publish(...keys: (TestKey | Jwk)[]): void;
  /** Another response; undefined: the key set. */
  failWith(answer: { status: number; headers?: Record<string, string>; body?: string } | undefined): void;
  cacheControl(value: string | undefined): void;
  /** Fetches of the key set so far. */
  fetches(): number;
}

const PATH = "/keys.json";

export async function serveKeys(...keys: (TestKey | Jwk)[]): Promise<KeyServer> {
  let published: unknown[] = [];
  let failure: { status: number; headers?: Record<string, string>; body?: string } | undefined;
  let cacheControl: string | undefined = "max-age=60, public";
  const server = await listen((_req, res) => {
    if (failure !== undefined) {
      res.writeHead(failure.status, failure.headers).end(failure.body ?? "");
      return;
    }
    if (cacheControl !== undefined) res.setHeader("cache-control", cacheControl);
    res.setHeader("content-type", "application/json");
    res.end(JSON.stringify({ keys: published }));
  });
  const self: KeyServer = Object.assign(server, {
    jwksUri: server.url + PATH,
    publish(...next: (TestKey | Jwk)[]) {
      published = next.map((key) => ((key as TestKey | null)?.privateKey === undefined ? key : (key as TestKey).jwk));
    },
    failWith: (answer: typeof failure) => void (failure = answer),
    cacheControl: (value: string | undefined) => void (cacheControl = value),
    fetches: () => server.count(PATH),
  });
  self.publish(...keys);
  return self;
}
