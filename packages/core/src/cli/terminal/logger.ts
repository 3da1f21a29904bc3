import pino from "pino";
import pc from "picocolors";
import type { Log } from "../../ports/log.ts";
import type { CliProcess } from "../process/cli-process.ts";

/** Creates a logger that writes JSON lines to stderr, or readable lines on a terminal. Redacts tokens and keys. */
export function createLogger({ stderr }: CliProcess): Log {
  const options: pino.LoggerOptions = {
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level) => ({ level }) },
    redact: ["*.jwt", "*.token", "*.apiKey", "*.authorization", "jwt", "token", "apiKey", "authorization"],
  };
  if (stderr.isTTY === true) return pino(options, { write: (line) => void stderr.write(pretty(line)) });
  return pino(options, stderr.fd === undefined ? stderr : pino.destination({ fd: stderr.fd, sync: true }));
}

const COLORS: Record<string, (text: string) => string> = {
  info: pc.green,
  warn: pc.yellow,
  error: pc.red,
  fatal: pc.red,
};

function pretty(line: string): string {
  const { level, time, msg, err, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const color = COLORS[String(level)] ?? ((text: string) => text);
  const details = Object.entries(fields).map(([name, value]) =>
    pc.dim(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`),
  );
  const reason = (err as { message?: string } | undefined)?.message;
  if (reason !== undefined) details.push(pc.red(reason));
  return `${pc.dim(String(time).slice(11, 19))} ${color(String(level).padEnd(5))} ${String(msg)} ${details.join(" ")}\n`;
}
