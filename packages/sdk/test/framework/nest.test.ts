import {
  Body,
  Controller,
  Get,
  HttpCode,
  Module,
  Post,
  UseGuards,
  type ExecutionContext,
  type INestApplication,
  type Type,
} from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { FastifyAdapter, type NestFastifyApplication } from "@nestjs/platform-fastify";
import type { RequestListener } from "node:http";
import { expect, test } from "vitest";
import { CurrentCaller, errorHandler, middleware, verifyMicroservice } from "../../src/framework/nest.ts";
import type { Caller } from "../../src/index.ts";
import { describeFramework, type Service } from "../support/framework-suite.ts";
import { listen } from "../support/http.ts";

/** The same service on either platform. */
async function configured<App extends INestApplication>(
  make: (module: Type) => Promise<App>,
  { front, handlesErrors, guard, handle, own }: Service,
): Promise<App> {
  @Controller()
  class Stock {
    @UseGuards(verifyMicroservice(guard))
    @Get("stock")
    get(@CurrentCaller() caller: Caller | undefined) {
      return handle(caller);
    }

    @UseGuards(verifyMicroservice(guard))
    @Post("stock")
    @HttpCode(200)
    post(@CurrentCaller() caller: Caller | undefined, @Body() body: object) {
      return handle(caller, body);
    }

    @Get("own")
    own() {
      return own();
    }
  }

  @Module({ controllers: [Stock] })
  class Root {}

  const app = await make(Root);
  if (front !== undefined) app.use(middleware(front));
  if (handlesErrors === true) app.useGlobalFilters(errorHandler());
  return app.init();
}

const QUIET = { logger: false } as const;

describeFramework("NestJS on Express", async (service) => {
  const app = await configured((module) => NestFactory.create(module, QUIET), service);
  return app.getHttpAdapter().getInstance() as RequestListener;
});

describeFramework("NestJS on Fastify", async (service) => {
  const app = await configured(
    (module) => NestFactory.create<NestFastifyApplication>(module, new FastifyAdapter(), QUIET),
    service,
  );
  const fastify = app.getHttpAdapter().getInstance();
  await fastify.ready();
  return (req, res) => fastify.routing(req, res);
});

test("@CurrentCaller on a route without a guard is an error of the service, not an undefined caller", async () => {
  let handled = 0;
  @Controller()
  class Open {
    @Get("stock")
    get(@CurrentCaller() caller: Caller) {
      handled++;
      return { calledBy: caller.service };
    }
  }
  @Module({ controllers: [Open] })
  class Root {}
  const app = await (await NestFactory.create(Root, QUIET)).init();
  const { url } = await listen(app.getHttpAdapter().getInstance() as RequestListener);
  const answer = await fetch(`${url}/stock`);
  expect([answer.status, handled]).toEqual([500, 0]);
  expect(await answer.text()).not.toContain("verifyMicroservice guard");
});

test("the NestJS guard rejects everything that is not HTTP", async () => {
  const context = { getType: () => "rpc" } as ExecutionContext;
  await expect(verifyMicroservice({ optional: true }).canActivate(context)).rejects.toThrow(/createVerifier/);
});
