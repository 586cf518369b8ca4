/** Many tasks in one envelope, and what becomes of them when something fails late. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import type { Answer } from "../src/envelope/read.js";
import { Merged, Result, type Results } from "../src/envelope/result.js";
import { encodeTask } from "../src/envelope/write.js";
import { BusyError, type ShoalError, UnreachableError } from "../src/index.js";
import { JSON_ENCODING } from "../src/json/encoding.js";
import type { Envelope, Exchange } from "../src/wire/exchange.js";
import { sendWhole } from "../src/wire/whole.js";
import { Hand, settle } from "./hand.js";

/** An envelope that waits for its answer. */
interface Sent {
  readonly envelope: Envelope;
  /** Answers all tasks but those that have an error here. */
  answer(errors?: Record<string, ShoalError>): void;
  fail(error: unknown): void;
}

const NAMES = ["a", "b"];

let clock: Hand;
let sent: Sent[];

beforeEach(() => {
  clock = new Hand();
  sent = [];
});

function whole(envelope: Envelope): Promise<Answer> {
  const { posted, parts, signal } = envelope;
  return new Promise((resolve, reject) => {
    const answered = { model: "m", version: "1", batchRows: 1, read: undefined };
    signal.addEventListener("abort", () => reject(signal.reason));
    sent.push({
      envelope,
      answer: (errors = {}) => {
        const results = posted.map(({ id }) => new Result(id, errors[id] ?? answered));
        const leftOut = Object.keys(errors);
        const merged = parts.merge && new Merged(() => assert.fail("it is not read"), leftOut);
        resolve({ results, merged });
      },
      fail: reject,
    });
  });
}

interface Said {
  readonly timesMs?: readonly number[];
  readonly merge?: { readonly by: string };
  readonly attempts?: number;
  readonly signal?: AbortSignal;
}

function run({ timesMs = [1000, 1000], merge, attempts = 4, signal }: Said = {}): Promise<Results> {
  const task = encodeTask({ model: "m", table: { x: [1] } }, JSON_ENCODING);
  const tasks = timesMs.map((timeoutMs, at) => ({ id: NAMES[at] ?? "", task, timeoutMs }));
  const parts = { tables: new Map(), merge };
  const patience = { attempts, maxWaitMs: 5000 };
  const exchange = { whole } as unknown as Exchange;
  return sendWhole({ tasks, parts, patience, signal }, exchange, clock);
}

/** Answers `a`, turns `b` away for a while, and waits for the second attempt. */
async function answeredHalf(): Promise<void> {
  await settle();
  sent[0]?.answer({ b: new BusyError("busy", { retryAfterMs: 10 }) });
  await settle();
  clock.pass(15);
  await settle();
  assert.equal(sent.length, 2);
}

function codes(results: Results): (string | undefined)[] {
  return [...results].map(({ error }) => error?.code);
}

test("what was answered stays when the time of the others runs out", async () => {
  const results = run();
  await answeredHalf();
  clock.pass(2000);
  assert.deepEqual(codes(await results), [undefined, "deadline_exceeded"]);
  assert.equal(sent[1]?.envelope.signal.aborted, true);
});

test("what was answered stays when the server goes away afterwards", async () => {
  const results = run({ attempts: 2 });
  await answeredHalf();
  sent[1]?.fail(new UnreachableError("gone"));
  assert.deepEqual(codes(await results), [undefined, "server_unreachable"]);
});

test("a merge whose last attempt failed is that error, and says nothing of an earlier one", async () => {
  const results = run({ merge: { by: "mean" }, attempts: 2 });
  await answeredHalf();
  assert.deepEqual(
    sent[1]?.envelope.posted.map(({ id }) => id),
    ["a", "b"],
  );
  sent[1]?.fail(new UnreachableError("gone"));
  const { merged } = await results;
  assert.deepEqual(codes(await results), [undefined, "server_unreachable"]);
  assert.equal(merged?.error?.code, "server_unreachable");
});

test("a merge that failed on the way is asked for again", async () => {
  const results = run({ merge: { by: "mean" } });
  await answeredHalf();
  sent[1]?.fail(new UnreachableError("gone"));
  await settle();
  clock.pass(150);
  await settle();
  sent[2]?.answer();
  assert.deepEqual(codes(await results), [undefined, undefined]);
  assert.equal((await results).merged?.error, undefined);
});

test("who takes the call back gets its reason, whatever was answered", async () => {
  for (const isLater of [false, true]) {
    sent = [];
    const controller = new AbortController();
    const results = run({ signal: controller.signal });
    await settle();
    if (isLater) {
      await answeredHalf();
    }
    controller.abort(new BusyError("not needed"));
    await assert.rejects(results, /not needed/u);
  }
});

test("a call of which nothing was answered fails as a whole", async () => {
  const results = run({ attempts: 2 });
  await settle();
  sent[0]?.fail(new UnreachableError("gone"));
  await settle();
  clock.pass(75);
  await settle();
  sent[1]?.fail(new UnreachableError("gone again"));
  await assert.rejects(results, /gone again/u);
});

test("each task has its own time, which none of the envelope cuts short", async () => {
  const results = run({ timesMs: [1000, Number.POSITIVE_INFINITY] });
  await settle();
  const { posted, parts } = sent[0]?.envelope ?? assert.fail();
  assert.deepEqual(
    posted.map(({ timeoutUs }) => timeoutUs),
    [1_000_000, 0],
  );
  assert.equal(parts.timeoutUs, undefined);
  clock.pass(2 ** 40);
  sent[0]?.answer();
  assert.deepEqual(codes(await results), [undefined, undefined]);
});
