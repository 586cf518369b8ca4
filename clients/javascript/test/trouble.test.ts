/** What goes wrong on the way: retries, deadlines, cancellation, servers that go away. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import {
  AnswerError,
  BusyError,
  Client,
  DeadlineError,
  DuplicateTaskError,
  InvalidRequestError,
  OverloadedError,
  UnavailableError,
  UnreachableError,
} from "../src/index.js";
import { bodyOf, post } from "../src/wire/transport.js";
import { type FakeServer, fakeServer, refuse } from "./fake_server.js";

let server: FakeServer;

beforeEach(async () => {
  server = await fakeServer();
});

afterEach(async () => {
  await server.close();
});

/** A model that fails the first times, and then answers. */
function failing(times: number, code: string, more: object = {}) {
  let nth = 0;
  return ({ table }: { table: unknown }) => {
    nth += 1;
    return nth <= times ? { error: { code, error: "not now", ...more } } : { table };
  };
}

function never(): Promise<never> {
  return new Promise(() => {});
}

test("what may be tried again is, under one key, and no earlier than the server says", async () => {
  server.models.busy = failing(2, "queue_full", { retry_after_ms: 30 });
  const startedAtMs = performance.now();
  const table = await new Client(server.url).predict("busy", { x: [1] });
  assert.equal(table.column("x").get(0), 1n);
  assert.ok(performance.now() - startedAtMs >= 60);
  const keys = server.arrived.map(({ tasks }) => tasks[0]?.idempotency_key);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
});

test("a refusal of the whole request is tried again after its Retry-After", async () => {
  server.takeover = (_, response, nth) =>
    nth === 1 && refuse(response, 503, "server_busy", { "retry-after": "0" });
  await new Client(server.url).predict("echo", { x: [1] });
  assert.equal(server.arrived.length, 2);
});

test("what may not be tried again is not, and neither is anything with one attempt", async () => {
  server.models.failed = failing(9, "model_failed");
  server.models.busy = failing(9, "queue_full");
  await assert.rejects(new Client(server.url).predict("failed", { x: [1] }));
  await assert.rejects(
    new Client(server.url, { attempts: 1 }).predict("busy", { x: [1] }),
    OverloadedError,
  );
  assert.equal(server.arrived.length, 2);
  assert.equal(server.arrived[1]?.tasks[0]?.idempotency_key, undefined);
});

test("attempts end when they are used up, or when the next would come too late", async () => {
  server.models.busy = failing(99, "server_busy", { retry_after_ms: 1 });
  server.models.closed = failing(99, "shutting_down", { retry_after_ms: 60_000 });
  const client = new Client(server.url, { attempts: 3 });
  await assert.rejects(client.predict("busy", { x: [1] }), BusyError);
  assert.equal(server.arrived.length, 3);
  await assert.rejects(client.predict("closed", { x: [1] }), UnavailableError);
  assert.equal(server.arrived.length, 4);
});

test("a wait that is longer than the client's is not waited for, also without a deadline", async () => {
  server.models.closed = failing(1, "shutting_down", { retry_after_ms: 2 ** 32 });
  server.models.busy = failing(1, "server_busy", { retry_after_ms: 20 });
  const task = { table: { x: [1] }, timeoutMs: Number.POSITIVE_INFINITY };
  const client = new Client(server.url, { maxWaitMs: 10 });
  for (const model of ["closed", "busy"]) {
    const results = await client.run([{ ...task, model }]);
    assert.ok(results.get(0)?.error?.isRetryable);
  }
  assert.equal(server.arrived.length, 2);
});

test("an empty key of idempotency is none, and one is made", async () => {
  server.models.busy = failing(1, "queue_full", { retry_after_ms: 1 });
  await new Client(server.url).predict("busy", { x: [1] }, { idempotencyKey: "" });
  const keys = server.arrived.map(({ tasks }) => tasks[0]?.idempotency_key);
  assert.ok(keys[0]);
  assert.equal(keys[1], keys[0]);
});

test("a connection that breaks is made again", async () => {
  server.takeover = (_, response, nth) => {
    if (nth === 1) {
      response.socket?.destroy();
    }
    return nth === 1;
  };
  await new Client(server.url).predict("echo", { x: [1] });
  assert.equal(server.arrived.length, 2);
});

test("a server that is not there is told as such", async () => {
  const { url } = server;
  await server.close();
  await assert.rejects(
    new Client(url, { attempts: 2 }).predict("echo", { x: [1] }),
    (error) => error instanceof UnreachableError && /ECONNREFUSED/u.test(error.message),
  );
});

test("a task has the time that is left on the server, and no more here", async () => {
  server.models.never = never;
  const client = new Client(server.url, { timeoutMs: 80 });
  await assert.rejects(client.predict("never", { x: [1] }), DeadlineError);
  const sent = server.arrived[0]?.tasks[0]?.timeout_us ?? 0;
  assert.ok(sent > 40_000 && sent <= 80_000, String(sent));
});

test("one call's deadline or caller takes nobody along", async () => {
  const waiting: (() => void)[] = [];
  const areThere = new Promise<void>((resolve) => {
    server.models.slow = ({ table }) =>
      new Promise((answer) => {
        waiting.push(() => answer({ table }));
        if (waiting.length === 3) {
          resolve();
        }
      });
  });
  const client = new Client(server.url);
  const controller = new AbortController();
  const left = client.predict("slow", { x: [1] }, { signal: controller.signal });
  const late = client.predict("slow", { x: [2] }, { timeoutMs: 50 });
  const patient = client.predict("slow", { x: [3] });
  await areThere;
  controller.abort(new Error("not needed"));
  await assert.rejects(left, /not needed/u);
  await assert.rejects(late, DeadlineError);
  for (const answer of waiting) {
    answer();
  }
  assert.equal((await patient).column("x").get(0), 3n);
  assert.equal(server.arrived.length, 1);
});

test("an envelope that nobody waits for is aborted", async () => {
  let gone: () => void = () => {};
  const isGone = new Promise<void>((resolve) => (gone = resolve));
  const isThere = new Promise<void>((resolve) => {
    server.takeover = (_, response) => {
      response.on("close", gone);
      resolve();
      return true;
    };
  });
  const controller = new AbortController();
  const call = new Client(server.url).predict("echo", { x: [1] }, { signal: controller.signal });
  await isThere;
  controller.abort();
  await assert.rejects(call, { name: "AbortError" });
  await isGone;
});

test("a signal that was aborted before sends nothing", async () => {
  const signal = AbortSignal.abort(new Error("never mind"));
  const client = new Client(server.url);
  await assert.rejects(client.predict("echo", { x: [1] }, { signal }), /never mind/u);
  await assert.rejects(
    client.run([{ model: "echo", table: { x: [1] } }], { signal }),
    /never mind/u,
  );
  await assert.rejects(
    client.stream([{ model: "echo", table: { x: [1] } }], { signal }).next(),
    /never mind/u,
  );
  assert.equal(server.arrived.length, 0);
});

test("an envelope refused as a whole is sent again in halves, so that one fails alone", async () => {
  server.takeover = ({ tasks }, response) =>
    JSON.stringify(tasks).includes('"data":[13]') && refuse(response, 413, "too_many_rows");
  const client = new Client(server.url);
  const calls = Array.from({ length: 8 }, (_, at) => client.predict("echo", { x: [10 + at] }));
  const states = (await Promise.allSettled(calls)).map(({ status }) => status);
  assert.deepEqual(
    states,
    [..."fffrffff"].map((state) => (state === "f" ? "fulfilled" : "rejected")),
  );
});

test("in a call of many tasks only those that failed for a while are sent again", async () => {
  server.models.busy = failing(1, "queue_full", { retry_after_ms: 1 });
  const results = await new Client(server.url).run([
    { model: "echo", table: { x: [1] } },
    { model: "busy", table: { x: [2] } },
    { model: "nobody", table: { x: [3] } },
  ]);
  assert.deepEqual(
    [...results].map(({ error }) => error?.code),
    [undefined, undefined, "unknown_model"],
  );
  assert.deepEqual(
    server.arrived.map(({ tasks }) => tasks.map(({ id }) => id)),
    [["0", "1", "2"], ["1"]],
  );
});

test("with a merge all tasks are sent again, under their keys", async () => {
  server.takeover = ({ tasks }, response, nth) => {
    const error = { code: "queue_full", error: "full", retry_after_ms: 1 };
    const results = tasks.map(({ id }, at) =>
      nth === 1 && at === 0 ? { id, error } : { id, model: "echo", version: "1", batch_rows: 2 },
    );
    const table = { rows: 1, columns: [{ name: "x", dtype: "FP64", data: [1.5] }] };
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ results, merged: { table, left_out: nth === 1 ? ["0"] : [] } }));
    return true;
  };
  const tasks = [1, 2].map((x) => ({ model: "echo", table: { x: [x] } }));
  const results = await new Client(server.url).run(tasks, { merge: "mean" });
  assert.equal(results.merged?.table.column("x").get(0), 1.5);
  assert.deepEqual(results.merged?.leftOut, []);
  assert.throws(() => results.get("0")?.table, { code: "invalid_answer" });
  const [first, second] = server.arrived;
  assert.deepEqual(first?.merge, { by: "mean" });
  assert.deepEqual(
    second?.tasks.map((task) => task.idempotency_key),
    first?.tasks.map((task) => task.idempotency_key),
  );
});

test("a stream that breaks off is taken up again for those without an answer", async () => {
  let breakOff: () => void = () => {};
  server.takeover = ({ tasks }, response, nth) => {
    if (nth > 1) {
      return false;
    }
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const answered = { model: "echo", version: "1", batch_rows: 1, table: tasks[1]?.table };
    response.write(`${JSON.stringify({ id: "1", ...answered })}\n`);
    breakOff = () => response.destroy();
    return true;
  };
  const tasks = [1, 2, 3].map((x) => ({ model: "echo", table: { x: [x] } }));
  const found = new Map<string, unknown>();
  for await (const { id, table } of new Client(server.url).stream(tasks)) {
    found.set(id, table.column("x").get(0));
    breakOff();
  }
  assert.deepEqual(Object.fromEntries(found), { 0: 1n, 1: 2n, 2: 3n });
  const again = server.arrived.slice(1).flatMap(({ tasks }) => tasks);
  assert.equal(again.length, 2);
});

test("who stops taking results takes the rest back", async () => {
  server.models.never = never;
  let gone: () => void = () => {};
  const isGone = new Promise<void>((resolve) => (gone = resolve));
  server.takeover = (_, response) => {
    response.on("close", gone);
    return false;
  };
  const tasks = ["echo", "never"].map((model) => ({ model, table: { x: [1] } }));
  for await (const { id } of new Client(server.url).stream(tasks)) {
    assert.equal(id, "0");
    break;
  }
  await isGone;
});

test("of two tasks of one id that are under way together, the second ends the stream", async () => {
  server.models.never = never;
  let gone: () => void = () => {};
  const isGone = new Promise<void>((resolve) => (gone = resolve));
  server.takeover = (_, response) => {
    response.on("close", gone);
    return false;
  };
  const table = { x: [1] };
  async function* tasks() {
    yield { model: "never", table, id: "1" };
    yield { model: "echo", table, id: "first" };
    while (server.arrived.length === 0) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    yield { model: "echo", table, id: "1" };
  }
  const stream = new Client(server.url).stream(tasks());
  await assert.rejects(async () => {
    for await (const { id } of stream) {
      assert.equal(id, "first");
    }
  }, DuplicateTaskError);
  await isGone;
});

test("an id may come again once its task is answered, and a stream may be empty", async () => {
  const client = new Client(server.url);
  const answered: string[] = [];
  let isAnswered: () => void = () => {};
  async function* tasks() {
    yield { model: "echo", table: { x: [1] }, id: "same" };
    await new Promise<void>((resolve) => (isAnswered = resolve));
    yield { model: "echo", table: { x: [2] }, id: "same" };
  }
  for await (const { id, error } of client.stream(tasks())) {
    assert.equal(error, undefined);
    answered.push(id);
    isAnswered();
  }
  assert.deepEqual(answered, ["same", "same"]);
  const before = server.arrived.length;
  assert.equal((await client.stream([]).next()).done, true);
  assert.equal((await client.stream([], { tables: { t: { x: [1] } } }).next()).done, true);
  assert.equal(server.arrived.length, before);
});

test("what is wrong with tasks is told before anything is sent", async () => {
  const client = new Client(server.url);
  const task = { model: "echo", table: { x: [1] }, id: "a" };
  await assert.rejects(client.run([]), InvalidRequestError);
  await assert.rejects(client.run([task, task]), DuplicateTaskError);
  await assert.rejects(client.run([{ ...task, priority: 256 }]), InvalidRequestError);
  await assert.rejects(client.run([{ ...task, weight: -1 }]), InvalidRequestError);
  await assert.rejects(client.run([{ ...task, timeoutMs: 0 }]), InvalidRequestError);
  await assert.rejects(client.run([{ ...task, model: "" }]), InvalidRequestError);
  await assert.rejects(client.run([{ ...task, id: "a\ud800" }]), { code: "wrong_dtype" });
  await assert.rejects(client.run([{ ...task, model: "\udc00" }]), { code: "wrong_dtype" });
  await assert.rejects(client.run([task], { timeoutMs: 0 }), InvalidRequestError);
  await assert.rejects(client.stream([task], { timeoutMs: 0 }).next(), InvalidRequestError);
  await assert.rejects(client.run(new Array(10_001).fill(task)), { code: "too_many_tasks" });
  assert.equal(server.arrived.length, 0);
});

test("a code nobody knows is taken by its status, and kept", async () => {
  server.takeover = (_, response) => refuse(response, 429, "too_warm", { "retry-after": "0" });
  await assert.rejects(
    new Client(server.url, { attempts: 2 }).predict("echo", { x: [1] }),
    (error) => error instanceof OverloadedError && error.code === "too_warm" && error.isRetryable,
  );
  assert.equal(server.arrived.length, 2);
  server.takeover = (_, response) => refuse(response, 418, "teapot");
  await assert.rejects(new Client(server.url).predict("echo", { x: [1] }), { name: "InputError" });
  server.takeover = (_, response) => {
    response.writeHead(500).end("<html>oops</html>");
    return true;
  };
  await assert.rejects(
    new Client(server.url).predict("echo", { x: [1] }),
    (error) => error instanceof AnswerError && error.message.includes("<html>oops"),
  );
});

test("an error page of a proxy is told by its status, also where it is JSON", async () => {
  const pages = ["<html>", "null", "[]", '{"code":503,"message":"no upstream"}'];
  for (const [nth, page] of pages.entries()) {
    server.takeover = (_, response, count) => {
      if (count % 2 === 0) {
        return false;
      }
      response.writeHead(nth % 2 ? 502 : 503, { "content-type": "application/json" }).end(page);
      return true;
    };
    await new Client(server.url, { maxWaitMs: 1 }).predict("echo", { x: [1] });
  }
  server.takeover = (_, response) => {
    response.writeHead(500).end(pages.at(-1));
    return true;
  };
  await assert.rejects(
    new Client(server.url).predict("echo", { x: [1] }),
    (error) => error instanceof AnswerError && error.message.includes("no upstream"),
  );
});

test("an answer that is none of the protocol is told as such", async () => {
  const bodies = [
    "{",
    "[]",
    '{"results":1}',
    '{"results":[{"model":"m"}]}',
    '{"results":[]}',
    "\xff",
  ];
  const client = new Client(server.url);
  for (const body of bodies) {
    server.takeover = (_, response) => {
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(Buffer.from(body, "latin1"));
      return true;
    };
    const call = client
      .run([{ model: "echo", table: { x: [1] } }])
      .then((results) => results.tables);
    await assert.rejects(call, { code: "invalid_answer" }, body);
  }
  server.takeover = (_, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end("<html>");
    return true;
  };
  await assert.rejects(client.predict("echo", { x: [1] }), /text\/html/u);
});

test("what nobody foresaw is thrown at the caller, and never lost", async () => {
  const client = new Client(server.url, { fetch: async () => ({}) as Response });
  const task = { model: "echo", table: { x: [1] } };
  await assert.rejects(client.predict("echo", task.table), TypeError);
  await assert.rejects(client.run([task]), TypeError);
  await assert.rejects(client.stream([task]).next(), TypeError);
});

test("one signal takes back any number of calls, without a warning", async () => {
  server.models.never = never;
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on("warning", warn);
  const { signal } = new AbortController();
  const controller = new AbortController();
  const client = new Client(server.url);
  const calls = Array.from({ length: 30 }, () =>
    client.predict("never", { x: [1] }, { signal: controller.signal }),
  );
  const answered = client.predict("echo", { x: [1] }, { signal: controller.signal });
  assert.equal((await answered).rows, 1);
  controller.abort();
  const settled = await Promise.allSettled(calls);
  assert.ok(settled.every(({ status }) => status === "rejected"));
  const tasks = Array.from({ length: 30 }, () => ({ model: "echo", table: { x: [1] } }));
  for await (const { error } of client.stream(tasks, { signal })) {
    assert.equal(error, undefined);
  }
  process.off("warning", warn);
  assert.deepEqual(warnings, []);
});

test("an answer that grows without end is refused at its limit, compressed or not", async () => {
  const bomb = gzipSync(Buffer.alloc(2 ** 23));
  server.takeover = (_, response) => {
    response.writeHead(200, { "content-encoding": "gzip" }).end(bomb);
    return true;
  };
  const { signal } = new AbortController();
  const sent = { body: '{"tasks":[]}', contentType: "application/json", accept: "*/*", signal };
  const { url } = server;
  const response = await post({ url, headers: {}, init: {}, fetch }, sent);
  await assert.rejects(bodyOf(response, signal, 2 ** 20), { code: "invalid_answer" });
});
