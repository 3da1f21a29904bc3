import pg from "pg";

/** Milliseconds. */
const RECONNECT = { first: 250, most: 5_000 };
/** Milliseconds to wait for the server to close the connection. */
const CLOSE_TIMEOUT = 1_000;

/**
 * Notifies listeners of changes by other instances. Connects on first use, reconnects automatically, then requests a
 * poll, because notifications can be missed.
 */
export class EpochWatcher {
  readonly #settings: () => pg.ClientConfig;
  readonly #channel: string;
  readonly #lifetime: number;
  readonly #listeners = new Set<{ notify: () => void }>();
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delay = RECONNECT.first;
  #closed = false;

  /**
   * @param settings returns the settings for each new connection
   * @param lifetime milliseconds after which the connection is replaced: it might lead to the old server after a
   * failover, or a firewall might have dropped it
   */
  constructor(settings: () => pg.ClientConfig, channel: string, lifetime: number) {
    this.#settings = settings;
    this.#channel = channel;
    this.#lifetime = lifetime;
  }

  watch(notify: () => void): () => void {
    const entry = { notify };
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
    const timeout = new Promise((resolve) => (timer = setTimeout(resolve, CLOSE_TIMEOUT)));
    await Promise.race([client.end().catch(() => {}), timeout]);
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
      this.#later(this.#delay * (0.5 + Math.random()), () => void this.#connect());
      this.#delay = Math.min(this.#delay * 2, RECONNECT.most);
    };
    try {
      client = new pg.Client(this.#settings());
      this.#client = client;
      client.on("error", onLost);
      client.on("end", onLost);
      client.on("notification", () => this.#notify());
      await client.connect();
      (client as pg.Client & { unref(): void }).unref(); // does not keep the process alive
      await client.query(`listen ${this.#channel}`); // fails on a standby
      this.#delay = RECONNECT.first;
      this.#notify(); // for changes committed before the LISTEN
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

  #notify(): void {
    for (const { notify } of [...this.#listeners]) notify();
  }
}
