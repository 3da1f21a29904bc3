import { DRIVER_VERSIONS, PATHS } from "countersign/protocol";
import { DEFAULT_APP } from "../../domain/apps/app.ts";
import type { HttpContext } from "../request/http-context.ts";
import { jsonResponse, textResponse, type CoreResponse, type ReadResult } from "../request/responses.ts";
import type { UseCases } from "../request/use-cases.ts";
import { createJwtHandler } from "./create-jwt.ts";
import { invalidField, readBody } from "./read-body.ts";

/** A route of the driver interface. */
export interface CdiRoute {
  readonly method: "GET" | "POST" | "PUT";
  readonly path: string;
  /** `apps`: requires an admin key if the core has one, and never accepts a service. */
  readonly power: "driver" | "apps";
  handle(c: HttpContext): CoreResponse | Promise<CoreResponse>;
}

export function cdiRoutes(useCases: UseCases): readonly CdiRoute[] {
  const { state } = useCases;
  return [
    {
      method: "GET",
      path: PATHS.apiVersion,
      power: "driver",
      handle: () => jsonResponse({ versions: DRIVER_VERSIONS }),
    },
    {
      method: "GET",
      path: PATHS.jwtJwks,
      power: "driver",
      handle: (c) => jsonResponse({ status: "OK", keys: state.publishedSets(c.path.appId)?.rsa.keys ?? [] }),
    },
    { method: "POST", path: PATHS.jwt, power: "driver", handle: createJwtHandler(useCases) },
    { method: "PUT", path: PATHS.createApp, power: "apps", handle: (c) => createApp(useCases, c) },
    {
      method: "GET",
      path: PATHS.listApps,
      power: "apps",
      handle: () => jsonResponse({ status: "OK", apps: state.appIds().map((appId) => ({ appId })) }),
    },
    { method: "POST", path: PATHS.removeApp, power: "apps", handle: (c) => removeApp(useCases, c) },
  ];
}

async function createApp({ manageApps }: UseCases, c: HttpContext): Promise<CoreResponse> {
  const appId = await readAppToManage(c);
  if (!appId.ok) return appId.response;
  const created = await manageApps.create(appId.value);
  if (!created.ok) return textResponse(400, created.problem);
  return jsonResponse({ status: "OK", createdNew: created.createdNew });
}

async function removeApp({ manageApps }: UseCases, c: HttpContext): Promise<CoreResponse> {
  const appId = await readAppToManage(c);
  if (!appId.ok) return appId.response;
  const removed = await manageApps.remove(appId.value);
  if (!removed.ok) return textResponse(403, "The default app cannot be removed");
  return jsonResponse({ status: "OK", didExist: removed.didExist });
}

/** Reads the app ID in the body. Only requests to the default app can manage apps. */
async function readAppToManage(c: HttpContext): Promise<ReadResult<string>> {
  if (c.path.appId !== DEFAULT_APP) {
    return { ok: false, response: textResponse(403, "Only the default app can manage apps") };
  }
  const body = await readBody(c);
  if (!body.ok) return body;
  const { appId } = body.value;
  return typeof appId === "string" ? { ok: true, value: appId } : invalidField("appId");
}
