/** When calls travel, and together with which: with a clock that is turned by hand. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Answer } from "../src/envelope/read.js";
import { Result } from "../src/envelope/result.js";
import { encodeTask } from "../src/envelope/write.js";
import { BusyError, ModelError } from "../src/index.js";
import { JSON_ENCODING } from "../src/json/encoding.js";
import { MicroBatcher } from "../src/wire/batcher.js";
import type { Clock } from "../src/wire/clock.js";
import type { Envelope, Exchange } from "../src/wire/exchange.js";
import { waitMs } from "../src/wire/retry.js";

/** Time that passes when it is told to. */
class Hand implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; call: () => void }[] = [];
  #ends: (() => void)[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  atEndOfTick(call: () => void): void {
    this.#ends.push(call);
  }

  /** Ends the tick. */
  tick(): void {
    for (const call of this.#ends.splice(0)) {
      call();
    }
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const { call } of due) {
      call();
    }
  }
}

/** An envelope that waits for its answer. */
interface Sent {
  readonly envelope: Envelope;
  /** Answers each task, with an error where one is given. */
  answer(error?: ModelError): void;
}

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
  const gathering = { maxTasks: 1000, attempts: 3, isStreamed: false };
  batcher = new MicroBatcher(exchange, { tables: new Map() }, gathering, clock);
});

function call(model = "m", bytes = 0): Promise<Result> {
  const text = "a".repeat(bytes);
  const task = encodeTask({ model, table: { x: [text] } }, JSON_ENCODING);
  return batcher.call({ id: "", task, timeoutMs: 1000 });
}

function sizes(): number[] {
  return sent.map(({ envelope }) => envelope.posted.length);
}

/** Lets promises go on that are due. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
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
  const attempts = { made: 1, allowed: 4, leftMs: Number.POSITIVE_INFINITY };
  assert.equal(waitMs(busy, attempts, 0), 50);
  assert.equal(waitMs(busy, { ...attempts, made: 3 }, 0), 200);
  assert.equal(waitMs(busy, { ...attempts, made: 3, allowed: 30 }, 1), 300);
  assert.equal(waitMs(busy, { ...attempts, made: 20, allowed: 30 }, 0), 2000);
  assert.equal(waitMs(busy, { ...attempts, made: 4 }, 0), undefined);
  assert.equal(waitMs(busy, { ...attempts, leftMs: 50 }, 0), undefined);
  assert.equal(waitMs(new ModelError("failed"), attempts, 0), undefined);
  const later = new BusyError("busy", { retryAfterMs: 700 });
  assert.equal(waitMs(later, attempts, 0), 700);
});
