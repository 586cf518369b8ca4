/** Stories of trouble: overload, deadlines, callers who leave, connections and servers that go away. */

import type { ClientOptions } from "../../src/index.js";
import { failure, holds, isLate, type Story, same, type World } from "./world.js";

const TABLE = { value: [1.5] };
const ONCE: ClientOptions = { attempts: 1 };

/** Plays while `held` is at work on another call, which is answered after `/open`. */
async function atWork(world: World, play: () => Promise<void>): Promise<void> {
  await world.control("hold");
  const call = world.client().predict("held", TABLE);
  await world.untilWaiting(0);
  await play();
  await world.control("open");
  same((await call).toColumns(), { double: [3] });
}

export const deadline: Story = (world) =>
  atWork(world, async () => {
    const results = await world.client().run([
      { model: "held", table: TABLE, timeoutMs: 50 },
      { model: "double", table: TABLE },
    ]);
    isLate(results.get(0)?.error);
    same(results.get(1)?.table.toColumns(), { double: [3] });
  });

export const deadlineOfTheClient: Story = async (world) => {
  await world.control("hold");
  const startedAtMs = performance.now();
  const call = world.client().predict("held", TABLE, { timeoutMs: 100 });
  isLate(await failure(call));
  holds(performance.now() - startedAtMs < 2000, "it ends within two seconds");
};

export const cancellation: Story = (world) =>
  atWork(world, async () => {
    const controller = new AbortController();
    const call = world.client().predict("held", TABLE, { signal: controller.signal });
    await world.untilWaiting(1);
    controller.abort();
    same((await failure(call)).name, "AbortError");
    await world.untilWaiting(0);
  });

export const overload: Story = async (world) => {
  await world.control("fill");
  const tasks = ["held", "double"].map((model) => ({ model, table: TABLE }));
  const results = await world.client(ONCE).run(tasks);
  same(
    [...results].map(({ error }) => error?.code),
    ["queue_full", undefined],
  );
  holds((results.get(0)?.error?.retryAfterMs ?? -1) >= 0, "the server says when to come again");
  same(results.get(1)?.table.toColumns(), { double: [3] });
};

export const retryAfter: Story = async (world) => {
  await world.control("fill");
  const sentAtMs: number[] = [];
  const askedForMs: number[] = [];
  const watched = async (url: string, init: RequestInit) => {
    sentAtMs.push(performance.now());
    const response = await fetch(url, init);
    const { results } = await response.clone().json();
    askedForMs.push(results[0].error?.retry_after_ms ?? 0);
    await world.control("open");
    return response;
  };
  const answer = await world.client({ fetch: watched }).predict("held", TABLE);
  same(answer.toColumns(), { double: [3] });
  const [first = 0, second = 0] = sentAtMs;
  holds(sentAtMs.length >= 2, "it was sent again");
  holds(second - first >= (askedForMs[0] ?? 0), "no earlier than the server said");
};

export const noVainRetries: Story = async (world) => {
  const client = world.relayed();
  for (const [model, value, code] of [
    ["nobody", 1, "unknown_model"],
    ["double", -1, "model_failed"],
  ] as const) {
    await world.control("forget");
    same((await failure(client.predict(model, { value: [value] }))).code, code);
    same((await world.seen()).envelopes, 1);
  }
};

export const idempotency: Story = async (world) => {
  await world.control("forget");
  await world.control("lose");
  const answer = await world.relayed().predict("double", { value: [7] });
  same(answer.toColumns(), { double: [14] });
  const { envelopes, calls } = await world.seen();
  same({ envelopes, calls }, { envelopes: 2, calls: [7] });
};

export const sameKey: Story = async (world) => {
  await world.control("forget");
  const client = world.client();
  const options = { idempotencyKey: `story ${performance.now()} ${Math.random()}` };
  const first = await client.predict("double", { value: [11] }, options);
  const second = await client.predict("double", { value: [11] }, options);
  same(second.toColumns(), first.toColumns());
  same((await world.seen()).calls, [11]);
  const third = client.predict("double", { value: [12] }, options);
  same((await failure(third)).code, "idempotency_conflict");
};

export const connectionCut: Story = async (world) => {
  const client = world.relayed();
  same((await client.predict("double", TABLE)).toColumns(), { double: [3] });
  await world.control("cut");
  same((await client.predict("double", TABLE)).toColumns(), { double: [3] });
};

export const connectionReuse: Story = async (world) => {
  await world.control("cut"); // what other stories left open
  await world.control("forget");
  const client = world.relayed();
  for (let call = 0; call < 20; call += 1) {
    await client.predict("double", { value: [call] });
  }
  const { envelopes, connections } = await world.seen();
  same(envelopes, 20);
  holds(connections >= 1 && connections <= world.maxConnections, `${connections} connections`);
};

export const serverRestarted: Story = async (world) => {
  const client = world.client();
  same((await client.predict("double", TABLE)).toColumns(), { double: [3] });
  await world.control("restart");
  same((await client.predict("double", TABLE)).toColumns(), { double: [3] });
};

export const serverGone: Story = async (world) => {
  const client = world.client(ONCE);
  await world.control("kill");
  same((await failure(client.predict("double", TABLE))).code, "server_unreachable");
  await world.control("start");
  same((await world.client().predict("double", TABLE)).toColumns(), { double: [3] });
};

export const serverGoneMidStream: Story = async (world) => {
  await world.control("hold");
  const tasks = ["double", "held"].map((model) => ({ id: model, model, table: TABLE }));
  const found: [string, string | undefined][] = [];
  for await (const { id, error } of world.relayed(ONCE).stream(tasks)) {
    found.push([id, error?.code]);
    await world.control("cut");
  }
  same(found, [
    ["double", undefined],
    ["held", "server_unreachable"],
  ]);
};
