/** When calls travel, and together with which: with a clock that is turned by hand. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Answer } from "../src/envelope/read.js";
import { Result } from "../src/envelope/result.js";
import type { Task } from "../src/envelope/task.js";
import { encodeTask } from "../src/envelope/write.js";
import { BusyError, ModelError } from "../src/index.js";
import { JSON_ENCODING } from "../src/json/encoding.js";
import { MicroBatcher } from "../src/wire/batcher.js";
import type { Envelope, Exchange } from "../src/wire/exchange.js";
import { waitMs } from "../src/wire/retry.js";
import { Hand, settle } from "./hand.js";

/** An envelope that waits for its answer. */
interface Sent {
  readonly envelope: Envelope;
  /** Answers each task, with an error where one is given. */
  answer(error?: ModelError): void;
}

const SHARED = new Map(
  Object.entries({ half: 400_000, other: 400_000, third: 400_000, huge: 2_000_000 }).map(
    ([name, size]) => [name, { text: "a".repeat(size) }] as const,
  ),
);

let clock: Hand;
let sent: Sent[];
let batcher: MicroBatcher;

function whole(envelope: Envelope): Promise<Answer> {
  return new Promise((resolve) => {
    const answer = (error?: ModelError) => {
      const answered = { model: "m", version: "1", batchRows: 1, read: undefined };
      const results = envelope.posted.map(({ id }) => new Result(id, error?.copy() ?? answered));
      resolve({ results, merged: undefined });
    };
    sent.push({ envelope, answer });
  });
}

beforeEach(() => {
  clock = new Hand();
  sent = [];
  const exchange = { whole } as unknown as Exchange;
  const patience = { attempts: 3, maxWaitMs: 5000 };
  const gathering = { maxTasks: 1000, patience, isStreamed: false };
  batcher = new MicroBatcher(exchange, { tables: SHARED }, gathering, clock);
});

function call(model = "m", bytes = 0): Promise<Result> {
  return callOf({ model, table: { x: ["a".repeat(bytes)] } });
}

function callOf(task: Task): Promise<Result> {
  return batcher.call({ id: "", task: encodeTask(task, JSON_ENCODING), timeoutMs: 1000 });
}

function sizes(): number[] {
  return sent.map(({ envelope }) => envelope.posted.length);
}

test("a lone call leaves at the end of its tick, without any time passing", async () => {
  const result = call();
  assert.deepEqual(sizes(), []);
  clock.tick();
  assert.deepEqual(sizes(), [1]);
  sent[0]?.answer();
  assert.equal((await result).model, "m");
});

test("calls of one tick travel together, those of the next by themselves", () => {
  void call();
  void call();
  clock.tick();
  void call();
  clock.tick();
  assert.deepEqual(sizes(), [2, 1]);
});

test("with four envelopes under way calls gather, for a millisecond at most", () => {
  for (let round = 0; round < 4; round += 1) {
    void call();
    clock.tick();
  }
  void call();
  clock.tick();
  void call();
  clock.tick();
  assert.deepEqual(sizes(), [1, 1, 1, 1]);
  clock.pass(1);
  assert.deepEqual(sizes(), [1, 1, 1, 1, 2]);
});

test("or until one of them is answered", async () => {
  for (let round = 0; round < 5; round += 1) {
    void call();
    clock.tick();
  }
  assert.deepEqual(sizes(), [1, 1, 1, 1]);
  sent[0]?.answer();
  await settle();
  void call(); // its caller asks again, and takes along who waits
  clock.tick();
  assert.deepEqual(sizes(), [1, 1, 1, 1, 2]);
});

test("calls of a few milliseconds have one budget, which is never longer than what is left", () => {
  for (let round = 0; round < 5; round += 1) {
    void call();
    clock.pass(2);
  }
  clock.tick();
  const budgets = sent[0]?.envelope.posted.map(({ timeoutUs }) => timeoutUs) ?? [];
  assert.deepEqual(budgets, new Array(5).fill(983_040));
});

test("a large call travels alone, and at once", () => {
  void call();
  void call("m", 100_000);
  assert.deepEqual(sizes(), [1]);
  clock.tick();
  assert.deepEqual(sizes(), [1, 1]);
});

test("an envelope has at most a megabyte", () => {
  for (let number = 0; number < 40; number += 1) {
    void call("m", 60_000);
  }
  clock.tick();
  assert.ok(sizes().every((size) => size <= 18) && sizes().length >= 3, String(sizes()));
});

test("a shared table counts once in an envelope, and one too large for any is not sent for each", () => {
  for (const table of ["half", "half", "other", "third", "huge", "huge", "huge", "nowhere"]) {
    void callOf({ model: "m", table });
  }
  clock.tick();
  assert.deepEqual(
    sent.map(({ envelope }) => envelope.posted.map(({ task }) => task.table)),
    [["half", "half", "other"], ["third"], ["huge", "huge", "huge", "nowhere"]],
  );
});

test("calls that may be tried again wait, and travel with whoever is there then", async () => {
  const results = [call(), call()];
  clock.tick();
  sent[0]?.answer(new BusyError("busy", { retryAfterMs: 10 }));
  await settle();
  clock.pass(9);
  clock.tick();
  assert.deepEqual(sizes(), [2]);
  clock.pass(6);
  void call();
  clock.tick();
  assert.deepEqual(sizes(), [2, 3]);
  sent[1]?.answer();
  assert.equal(
    (await Promise.all(results)).every(({ error }) => error === undefined),
    true,
  );
});

test("time that ran out ends a call while its envelope is under way, and then the envelope", async () => {
  const result = call();
  clock.tick();
  clock.pass(1000);
  assert.equal((await result).error?.code, "deadline_exceeded");
  assert.equal(sent[0]?.envelope.signal.aborted, true);
});

test("waits double, are spread by chance, and never end after the deadline", () => {
  const busy = new BusyError("busy");
  const leftMs = Number.POSITIVE_INFINITY;
  const attempts = { made: 1, attempts: 4, maxWaitMs: 5000, leftMs };
  assert.equal(waitMs(busy, attempts, 0), 50);
  assert.equal(waitMs(busy, { ...attempts, made: 3 }, 0), 200);
  assert.equal(waitMs(busy, { ...attempts, made: 3, attempts: 30 }, 1), 300);
  assert.equal(waitMs(busy, { ...attempts, made: 20, attempts: 30 }, 0), 2000);
  assert.equal(waitMs(busy, { ...attempts, made: 4 }, 0), undefined);
  assert.equal(waitMs(busy, { ...attempts, leftMs: 50 }, 0), undefined);
  assert.equal(waitMs(new ModelError("failed"), attempts, 0), undefined);
  const later = new BusyError("busy", { retryAfterMs: 700 });
  assert.equal(waitMs(later, attempts, 0), 700);
  assert.equal(waitMs(later, { ...attempts, maxWaitMs: 700 }, 1), 1050);
  assert.equal(waitMs(later, { ...attempts, maxWaitMs: 699 }, 0), undefined);
  assert.equal(waitMs(busy, { ...attempts, maxWaitMs: 20 }, 0), 20);
});
