import { Hono } from "hono";
import type { Env, Services } from "../environment.ts";
import { answerJson, refuseAdmin } from "../errors.ts";

export const ADMIN_BASE = "/admin/v1";

/** Administration, for admin keys only: what API keys can do ends at the driver interface. */
export function adminRoutes({ keyRing, version }: Services): Hono<Env> {
  const admin = new Hono<Env>();
  admin.use(async (c, next) => {
    if (c.get("principal") !== "admin-key") {
      return refuseAdmin(c, 401, "unauthorized", "This needs an admin key, sent as 'Authorization: Bearer KEY'");
    }
    return next();
  });
  admin.get("/status", (c) => {
    const { epoch, generation } = keyRing;
    return answerJson(c, { version, epoch, generation, apps: keyRing.appIds().length });
  });
  admin.all("*", (c) => refuseAdmin(c, 404, "not_found", "There is no such resource"));
  return admin;
}
