// Accepts requests from other services only.
import { verifyMicroservice } from "countersign/framework/web";
import { stock } from "../../../countersign.ts";

export const GET = verifyMicroservice()<{ params: Promise<{ item: string }> }>(async (_request, { caller, params }) => {
  const { item } = await params;
  return Response.json({ item, left: stock.get(item) ?? 0, caller: caller.service });
});
