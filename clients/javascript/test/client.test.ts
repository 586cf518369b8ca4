/** The client over real HTTP, against a server of the tests. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import {
  Client,
  type ClientOptions,
  ConfigurationError,
  column,
  ShoalError,
  UnauthorizedError,
  UnknownModelError,
} from "../src/index.js";
import { type FakeServer, fakeServer, refuse } from "./fake_server.js";

let server: FakeServer;

beforeEach(async () => {
  server = await fakeServer();
});

afterEach(async () => {
  await server.close();
});

test("a table goes there and comes back with its types and nulls", async () => {
  const client = new Client(server.url);
  const table = await client.predict("echo", {
    id: new BigInt64Array([2n ** 63n - 1n, -(2n ** 63n)]),
    name: ["käse", null],
    weight: column([0.1, Number.NaN], "FP32"),
    at: [new Date("2021-05-31T10:20:30.123Z"), null],
  });
  assert.deepEqual(table.toRecords(), [
    {
      id: 2n ** 63n - 1n,
      name: "käse",
      weight: Math.fround(0.1),
      at: new Date("2021-05-31T10:20:30.123Z"),
    },
    { id: -(2n ** 63n), name: null, weight: Number.NaN, at: null },
  ]);
});

test("calls of the same tick travel in one envelope, and each has its own answer", async () => {
  const client = new Client(server.url);
  const tables = await Promise.all(
    Array.from({ length: 50 }, (_, number) => client.predict("echo", { x: [number] })),
  );
  assert.equal(server.arrived.length, 1);
  assert.deepEqual(
    tables.map((table) => table.column("x").get(0)),
    Array.from({ length: 50 }, (_, number) => BigInt(number)),
  );
});

test("without micro-batching each call travels alone", async () => {
  const client = new Client(server.url, { microBatching: false });
  await Promise.all([client.predict("echo", { x: [1] }), client.predict("echo", { x: [2] })]);
  assert.deepEqual(
    server.arrived.map(({ tasks }) => tasks.length),
    [1, 1],
  );
});

test("a call that fails, fails alone", async () => {
  const client = new Client(server.url);
  const [good, bad] = await Promise.allSettled([
    client.predict("echo", { x: [1] }),
    client.predict("nobody", { x: [2] }),
  ]);
  assert.equal(server.arrived.length, 1);
  assert.equal(good.status, "fulfilled");
  assert.ok(bad.status === "rejected" && bad.reason instanceof UnknownModelError);
  assert.equal(bad.reason.hint, "ask");
});

test("what a caller does with its array afterwards changes nothing", async () => {
  const client = new Client(server.url);
  const values = new Float64Array([1]);
  const answer = client.predict("echo", { x: values });
  values[0] = 2;
  assert.equal((await answer).column("x").get(0), 1);
});

test("a key travels as a bearer, and without one the server's word is an error", async () => {
  server.takeover = ({ headers }, response) =>
    headers.authorization !== "Bearer secret" && refuse(response, 401, "unauthorized");
  await new Client(server.url, { apiKey: "secret" }).predict("echo", { x: [1] });
  await assert.rejects(
    new Client(server.url, { apiKey: "wrong" }).predict("echo", { x: [1] }),
    (error) => error instanceof UnauthorizedError && !error.message.includes("wrong"),
  );
  assert.throws(() => new Client(server.url, { apiKey: "a\nb" }), ShoalError);
});

test("many tasks in one envelope, with a shared table, in their order", async () => {
  const client = new Client(server.url);
  const results = await client.run(
    [
      { model: "echo", table: "people", id: "a" },
      { model: "nobody", table: { x: [1] } },
      { model: "echo", table: [{ x: "text" }, { y: true }] },
    ],
    { tables: { people: { age: [41, null] } } },
  );
  assert.equal(server.arrived.length, 1);
  assert.deepEqual(
    [...results].map(({ id, error }) => [id, error?.code]),
    [
      ["a", undefined],
      ["1", "unknown_model"],
      ["2", undefined],
    ],
  );
  assert.deepEqual(results.get("a")?.table.toColumns(), { age: [41n, null] });
  assert.deepEqual(results.get(2)?.table.toRecords(), [
    { x: "text", y: null },
    { x: null, y: true },
  ]);
  assert.equal(results.errors.get("1")?.taskId, "1");
  assert.throws(() => results.tables, UnknownModelError);
});

test("a task's own time may be longer than that of the call, or without a limit", async () => {
  const table = { x: [1] };
  await new Client(server.url).run([
    { model: "echo", table },
    { model: "echo", table, timeoutMs: 300_000 },
    { model: "echo", table, timeoutMs: Number.POSITIVE_INFINITY },
  ]);
  const { tasks = [], timeout_us } = server.arrived[0] ?? {};
  const seconds = tasks.map(({ timeout_us = 0 }) => Math.ceil(timeout_us / 1e6));
  assert.deepEqual(seconds, [60, 300, 0]);
  assert.equal(timeout_us, undefined);
});

test("results come as they are ready", async () => {
  let release: (value: unknown) => void = () => {};
  server.models.slow = ({ table }) =>
    new Promise((resolve) => (release = resolve)).then(() => ({ table }));
  const client = new Client(server.url);
  const ids: string[] = [];
  for await (const result of client.stream([
    { model: "slow", table: { x: [1] }, id: "slow" },
    { model: "echo", table: { x: [2] }, id: "quick" },
  ])) {
    ids.push(result.id);
    release(undefined);
  }
  assert.deepEqual(ids, ["quick", "slow"]);
  assert.equal(server.arrived.length, 1);
});

test("headers of the caller travel beside those of the client, and say nothing else of them", async () => {
  const headers = { Traceparent: "00-1-1-01", "x-tenant": "a b", "Accept-Encoding": "gzip" };
  await new Client(server.url, { headers, apiKey: "secret" }).predict("echo", { x: [1] });
  const [arrived] = server.arrived;
  assert.equal(arrived?.headers.traceparent, "00-1-1-01");
  assert.equal(arrived?.headers["x-tenant"], "a b");
  assert.equal(arrived?.headers["accept-encoding"], "gzip");
  assert.equal(arrived?.headers.authorization, "Bearer secret");
  assert.equal(arrived?.headers["content-type"], "application/json");
});

test("what a client cannot use is refused when it is made, without telling a secret", () => {
  const wrong: ClientOptions[] = [
    { headers: { Authorization: "s3cret" } },
    { headers: { "Content-Type": "s3cret" } },
    { headers: { "x-a": "s3cret\r\nx-b: 1" } },
    { headers: { "x-a": 53 as unknown as string } },
    { headers: { "s3cret x": "1" } },
    { apiKey: "s3cret käse" },
    { timeoutMs: 0 },
    { timeoutMs: Number.NaN },
    { attempts: 0 },
    { maxWaitMs: 0 },
    { maxWaitMs: Number.POSITIVE_INFINITY },
  ];
  const addresses = ["", "grpc://user:s3cret@host", "user:s3cret@host", "ftp://host/?key=s3cret"];
  const makings = [
    ...wrong.map((options) => () => new Client(server.url, options)),
    ...[...addresses, "http://user:s3cret@host"].map((address) => () => new Client(address)),
  ];
  for (const make of makings) {
    assert.throws(
      make,
      (error) => error instanceof ConfigurationError && !error.render().includes("s3cret"),
    );
  }
  assert.throws(() => new Client("grpc://host"), /'grpc:\/\/host' is no address/u);
});

test("of shared tables those travel that a task of the envelope names", async () => {
  const client = new Client(server.url);
  const tables = { small: { x: [1] }, large: { x: ["a".repeat(100_000)] }, unused: { x: [2] } };
  const named = ["small", "large", "small"].map((table) => ({ model: "echo", table }));
  const own = { model: "echo", table: { x: ["b".repeat(100_000)] } };
  for await (const { error } of client.stream([...named, own], { tables })) {
    assert.equal(error, undefined);
  }
  const sent = server.arrived.map(({ tables = {}, tasks }) => [
    tasks.length,
    Object.keys(tables).join(" "),
  ]);
  assert.deepEqual(sent.sort(), [
    [1, ""],
    [3, "small large"],
  ]);
});

test("connections are used again", async () => {
  const client = new Client(server.url);
  for (let call = 0; call < 5; call += 1) {
    await client.predict("echo", { x: [call] });
    for await (const result of client.stream([{ model: "echo", table: { x: [call] } }])) {
      assert.equal(result.error, undefined);
    }
  }
  assert.equal(server.connections(), 1);
});
