import pg from "pg";

/** Milliseconds. */
const RECONNECT = { first: 250, most: 5_000 };
/** Milliseconds that closing waits for the server's goodbye. */
const GOODBYE = 1_000;

/**
 * Tells when another instance has announced a change. It connects when somebody first listens, and again by itself;
 * what it misses meanwhile is found by the look that it asks for then, and by the poll that stands behind it.
 */
export class EpochWatcher {
  readonly #settings: () => pg.ClientConfig;
  readonly #channel: string;
  readonly #lifetime: number;
  readonly #listeners = new Set<{ tell: () => void }>();
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pause = RECONNECT.first;
  #closed = false;

  /**
   * @param settings how a connection is made, asked each time
   * @param lifetime milliseconds until it listens on a new connection: one that a firewall has dropped tells nobody,
   * and one to the server of before a failover tells nothing
   */
  constructor(settings: () => pg.ClientConfig, channel: string, lifetime: number) {
    this.#settings = settings;
    this.#channel = channel;
    this.#lifetime = lifetime;
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
    let client: pg.Client | undefined;
    let left = false;
    const leave = () => {
      left = true;
      void client?.end().catch(() => {});
    };
    const onLost = () => {
      if (left) return;
      leave();
      this.#later(this.#pause * (0.5 + Math.random()), () => void this.#connect());
      this.#pause = Math.min(this.#pause * 2, RECONNECT.most);
    };
    try {
      client = new pg.Client(this.#settings());
      this.#client = client;
      client.on("error", onLost);
      client.on("end", onLost);
      client.on("notification", () => this.#tell());
      await client.connect();
      (client as pg.Client & { unref(): void }).unref(); // whoever watches may end
      await client.query(`listen ${this.#channel}`); // which a standby refuses
      this.#pause = RECONNECT.first;
      this.#tell(); // of what was committed before the LISTEN
      this.#later(this.#lifetime, () => {
        leave();
        void this.#connect();
      });
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
