// Shared by the examples in this folder. The service needs no secret, only the core's public keys.
import countersign from "countersign";

const { CORE_URI = "http://localhost:3567", PORT = "4002" } = process.env;

countersign.init({
  appInfo: { appName: "inventory", apiDomain: `http://localhost:${PORT}` },
  core: { connectionURI: CORE_URI },
});

export const port = Number(PORT);
export const stock = new Map([
  ["anvil", 7],
  ["rope", 120],
]);
