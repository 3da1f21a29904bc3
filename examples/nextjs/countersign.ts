// What every route starts with; the first that is asked initialises. It holds no secret: the core's public keys are all it needs.
import countersign from "countersign";

const { CORE_URI = "http://localhost:3567", PORT = "4002" } = process.env;

countersign.init({
  appInfo: { appName: "inventory", apiDomain: `http://localhost:${PORT}` },
  core: { connectionURI: CORE_URI },
});

export const stock = new Map([
  ["anvil", 7],
  ["rope", 120],
]);
