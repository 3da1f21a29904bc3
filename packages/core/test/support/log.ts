import { inspect } from "node:util";
import type { Log } from "../../src/index.ts";

export interface RecordedLog extends Log {
  readonly lines: string[];
}

/** Records every log line, as text to search. */
export function recordedLog(): RecordedLog {
  const lines: string[] = [];
  const record = (level: string) => (facts: object, message: string) => {
    lines.push(`${level} ${message} ${inspect(facts, { depth: 10 })}`);
  };
  return { lines, info: record("info"), warn: record("warn"), error: record("error") };
}
