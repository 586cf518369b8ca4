/** The client over real HTTP, against a server of the tests. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { Client, column, ShoalError, UnauthorizedError, UnknownModelError } from "../src/index.js";
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
