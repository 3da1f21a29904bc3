import { Controller, Get, Module, Param, UseGuards } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import type { Caller } from "countersign";
import { CurrentCaller, errorHandler, middleware, verifyMicroservice } from "countersign/framework/nest";
import { port, stock } from "./inventory.ts";

@Controller("stock")
@UseGuards(verifyMicroservice())
class StockController {
  @Get(":item")
  stock(@Param("item") item: string, @CurrentCaller() caller: Caller) {
    return { item, left: stock.get(item) ?? 0, caller: caller.service };
  }
}

@Module({ controllers: [StockController] })
class Inventory {}

// Works the same on Express and Fastify.
const app = await (process.env["PLATFORM"] === "fastify"
  ? NestFactory.create(Inventory, new FastifyAdapter(), { logger: ["error"] })
  : NestFactory.create(Inventory, { logger: ["error"] }));
app.use(middleware());
app.useGlobalFilters(errorHandler());

await app.listen(port, "127.0.0.1");
console.log(`inventory listening on ${await app.getUrl()}`);
