import type { IncomingMessage, ServerResponse } from "node:http";
import { FetchContext, toResponse } from "../request/fetch-context.ts";
import { pathnameOfRequest } from "../request/request-target.ts";
import type { CoreResponse } from "../request/responses.ts";
import { sendResponse, SocketContext } from "../request/socket-context.ts";
import type { UseCases } from "../request/use-cases.ts";
import { createDispatcher } from "./dispatcher.ts";

/** The core's HTTP interface, for requests from a socket and from this process. */
export interface HttpInterface {
  /** Answers a request from a socket. Never rejects. */
  serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void>;
  /** Answers a request from this process. */
  fetch(request: Request): Promise<Response>;
}

/** For a request without a valid target, which no contract defines. */
const BAD_REQUEST: CoreResponse = { status: 400, headers: {}, body: "" };

export function createHttpInterface(useCases: UseCases): HttpInterface {
  const { pathOf, dispatch } = createDispatcher(useCases);
  return {
    async serve(incoming, outgoing) {
      try {
        const pathname = pathnameOfRequest(incoming);
        const response =
          pathname === undefined ? BAD_REQUEST : await dispatch(new SocketContext(incoming, pathOf(pathname)));
        sendResponse(incoming, outgoing, response);
      } catch {
        outgoing.destroy(); // dispatch() rejects only if the log throws
      }
    },

    async fetch(request) {
      const c = new FetchContext(request, pathOf(new URL(request.url).pathname));
      return toResponse(request.method, await dispatch(c));
    },
  };
}
