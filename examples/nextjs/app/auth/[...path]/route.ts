// The front interface, for services that verify by this one's domain.
import "../../../countersign.ts";
import { errorHandler, middleware } from "countersign/framework/web";

const notFound = () => new Response(null, { status: 404 });

export const GET = errorHandler()(middleware()(notFound));
