/**
 * A server of the tests, over real HTTP, that does to each task what its model's name says.
 *
 * `echo` answers with the table of the task; other models are given by the test. What arrives is kept.
 */

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** A task as it arrived. */
export interface ArrivedTask {
  id?: string;
  model: string;
  table: unknown;
  timeout_us?: number;
  idempotency_key?: string;
}

/** An envelope as it arrived. */
export interface Arrived {
  tasks: ArrivedTask[];
  tables?: Record<string, unknown>;
  merge?: unknown;
  timeout_us?: number;
  headers: IncomingMessage["headers"];
}

/** Gives the outcome of a task: a table, or `{ error: ... }`; or never. */
export type Model = (task: ArrivedTask, nth: number) => unknown;

/** Takes over the answer to a whole request; false leaves it to the models. */
export type Takeover = (arrived: Arrived, response: ServerResponse, nth: number) => boolean;

/** A server that is running. */
export interface FakeServer {
  readonly url: string;
  readonly arrived: Arrived[];
  /** How many connections were made. */
  readonly connections: () => number;
  readonly models: Record<string, Model>;
  takeover: Takeover;
  [Symbol.asyncDispose](): Promise<void>;
  close(): Promise<void>;
}

/** Runs a server on a free port. */
export async function fakeServer(): Promise<FakeServer> {
  const arrived: Arrived[] = [];
  const models: Record<string, Model> = { echo: ({ table }) => ({ table }) };
  let connections = 0;
  const server = createServer(async (request, response) => {
    const body = await readBody(request);
    const envelope: Arrived = { ...JSON.parse(body), headers: request.headers };
    arrived.push(envelope);
    if (!fake.takeover(envelope, response, arrived.length)) {
      await answer(envelope, response, models);
    }
  });
  server.on("connection", () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const fake: FakeServer = {
    url: `http://127.0.0.1:${port}`,
    arrived,
    connections: () => connections,
    models,
    takeover: () => false,
    close,
    [Symbol.asyncDispose]: close,
  };
  return fake;
}

/** Refuses a whole request. */
export function refuse(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): boolean {
  response.writeHead(status, { "content-type": "application/json", ...headers });
  response.end(JSON.stringify({ error: `refused: ${code}`, code, hint: "a hint" }));
  return true;
}

async function answer(
  envelope: Arrived,
  response: ServerResponse,
  models: Record<string, Model>,
): Promise<void> {
  const isLines = envelope.headers.accept === "application/x-ndjson";
  const type = isLines ? "application/x-ndjson" : "application/json";
  response.writeHead(200, { "content-type": type });
  const asked = envelope.tasks.map(async (task, place) => {
    const result = await resultOf(task, place, envelope, models);
    if (isLines) {
      response.write(`${JSON.stringify(result)}\n`);
    }
    return result;
  });
  const results = await Promise.all(asked);
  response.end(isLines ? "" : JSON.stringify({ results }));
}

async function resultOf(
  task: ArrivedTask,
  place: number,
  envelope: Arrived,
  models: Record<string, Model>,
): Promise<object> {
  const id = task.id ?? String(place);
  const { table } = task;
  const found = typeof table === "string" ? envelope.tables?.[table] : table;
  const model = models[task.model];
  const outcome = model
    ? await model({ ...task, table: found }, place)
    : { error: { code: "unknown_model", error: `no model '${task.model}'`, hint: "ask" } };
  const isError = typeof outcome === "object" && outcome !== null && "error" in outcome;
  return isError
    ? { id, ...outcome }
    : { id, model: task.model, version: "1", batch_rows: 1, ...(outcome as object) };
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of request) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
