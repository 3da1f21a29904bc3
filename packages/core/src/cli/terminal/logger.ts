import pino from "pino";
import pc from "picocolors";
import type { Log } from "../../ports/log.ts";
import type { CliProcess } from "../process/cli-process.ts";

/** JSON lines on stderr; on a terminal, lines for people. What could hold a secret never gets there. */
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

const COLOURS: Record<string, (text: string) => string> = {
  info: pc.green,
  warn: pc.yellow,
  error: pc.red,
  fatal: pc.red,
};

function pretty(line: string): string {
  const { level, time, msg, err, ...facts } = JSON.parse(line) as Record<string, unknown>;
  const colour = COLOURS[String(level)] ?? ((text: string) => text);
  const words = Object.entries(facts).map(([name, value]) =>
    pc.dim(`${name}=${typeof value === "string" ? value : JSON.stringify(value)}`),
  );
  const problem = (err as { message?: string } | undefined)?.message;
  if (problem !== undefined) words.push(pc.red(problem));
  return `${pc.dim(String(time).slice(11, 19))} ${colour(String(level).padEnd(5))} ${String(msg)} ${words.join(" ")}\n`;
}
