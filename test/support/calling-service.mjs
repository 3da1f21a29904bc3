// A service that exits once it has its token.
import { createServiceFetch, getServiceToken, init } from "countersign";

init({
  appInfo: { appName: "orders", apiDomain: "http://localhost:4001" },
  core: { connectionURI: `file:${process.env["DATA_DIR"]}` },
});
const purpose = { audience: "inventory", scope: "stock:read" };
await createServiceFetch(purpose).ready();
const token = await getServiceToken(purpose);
console.log(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
