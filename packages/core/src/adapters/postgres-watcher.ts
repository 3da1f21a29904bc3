import pg from "pg";

/** Milliseconds. */
const RECONNECT = { first: 250, most: 5_000 };
/** Milliseconds between signs of life: a connection that a firewall has dropped tells nobody. */
const HEARTBEAT = 30_000;
/** Milliseconds that closing waits for the server's goodbye. */
const GOODBYE = 1_000;

/**
 * Tells when another instance has announced a change. It connects when somebody first listens, and again by itself;
 * what it misses meanwhile is found by the look that it asks for then, and by the poll that stands behind it.
 */
export class EpochWatcher {
  readonly #config: pg.ClientConfig;
  readonly #channel: string;
  readonly #listeners = new Set<{ tell: () => void }>();
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pause = RECONNECT.first;
  #closed = false;

  constructor(config: pg.ClientConfig, channel: string) {
    this.#config = config;
    this.#channel = channel;
  }

  watch(tell: () => void): () => void {
    const entry = { tell };
    this.#listeners.add(entry);
    if (this.#client === undefined && !this.#closed) void this.#connect();
    return () => this.#listeners.delete(entry);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    if (client === undefined) return;
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise((resolve) => (timer = setTimeout(resolve, GOODBYE)));
    await Promise.race([client.end().catch(() => {}), patience]);
    clearTimeout(timer);
  }

  async #connect(): Promise<void> {
    const client = new pg.Client(this.#config);
    this.#client = client;
    let lost = false;
    const onLost = () => {
      if (lost) return;
      lost = true;
      void client.end().catch(() => {});
      this.#later(this.#pause * (0.5 + Math.random()), () => void this.#connect());
      this.#pause = Math.min(this.#pause * 2, RECONNECT.most);
    };
    client.on("error", onLost);
    client.on("end", onLost);
    client.on("notification", () => this.#tell());
    const beat = async () => {
      await client.query("select");
      beatLater();
    };
    const beatLater = () => this.#later(HEARTBEAT, () => void beat().catch(onLost));
    try {
      await client.connect();
      (client as pg.Client & { unref(): void }).unref(); // whoever watches may end
      await client.query(`listen ${this.#channel}`);
      this.#pause = RECONNECT.first;
      this.#tell(); // of what was committed before the LISTEN
      beatLater();
    } catch {
      onLost();
    }
  }

  #later(ms: number, step: () => void): void {
    if (this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(step, ms);
    this.#timer.unref();
  }

  #tell(): void {
    for (const { tell } of [...this.#listeners]) tell();
  }
}
