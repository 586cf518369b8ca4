/** Stories of calls: one, many, joined, as they are ready; and what only the server can refuse. */

import type { Task } from "../../src/index.js";
import { failure, holds, type Story, same } from "./world.js";

const BLOCK = /```js\n(?<code>.*?)```/su;
const PRINTED = /^.*console\.log.*\/\/ (?<line>.*)$/gmu;

export const happyPath: Story = async (world) => {
  const results = await world.client().run([{ model: "double", table: { value: [1, 2.5, 4] } }]);
  const result = results.get(0);
  same(result?.table.toColumns(), { double: [2, 5, 8] });
  same([result?.model, result?.version], ["double", "1"]);
  holds((result?.batchRows ?? 0) >= 3, "the micro-batch had at least 3 rows");
};

export const oneCall: Story = async (world) => {
  const code = BLOCK.exec(world.readme)?.groups?.code ?? "";
  const promised = [...code.matchAll(PRINTED)].map(({ groups }) => groups?.line);
  holds(promised.length > 0, "the README says what is printed");
  same(await world.runModule(code.replace("http://127.0.0.1:8000", world.server)), promised);
};

export const manyModels: Story = async (world) => {
  await world.control("forget");
  const echo = {
    whole: [1],
    natural: new BigUint64Array(1),
    number: [1.5],
    flag: [true],
    text: ["a"],
    pair: [[0.5, 1.5]],
  };
  const tasks: Task[] = [
    { id: "twice", model: "double", table: "shared" },
    { id: "as it is", model: "echo", table: echo },
    { id: "filled", model: "filled", table: "shared" },
  ];
  const results = await world.relayed().run(tasks, { tables: { shared: { value: [1.5, 2.5] } } });
  same(
    [...results].map(({ id }) => id),
    ["twice", "as it is", "filled"],
  );
  same(results.get("twice")?.table.toColumns(), { double: [3, 5] });
  same(results.get("as it is")?.table.column("text").get(0), "a");
  same(results.get("filled")?.table.column("seen").toArray(), [1.5, 2.5]);
  same((await world.seen()).envelopes, 1);
};

export const oneBadTask: Story = async (world) => {
  const tasks = [1, -1, 2].map((value) => ({ model: "double", table: { value: [value] } }));
  const results = await world.client().run(tasks);
  same(
    [...results].map(({ error }) => error?.code),
    [undefined, "model_failed", undefined],
  );
  same(results.get(2)?.table.toColumns(), { double: [4] });
};

export const unknownModel: Story = async (world) => {
  const table = { value: [1.5] };
  const results = await world.client().run([
    { model: "nobody", table },
    { model: "double", version: "9", table },
    { model: "double", table },
  ]);
  same(
    [...results].map(({ error }) => error?.code),
    ["unknown_model", "unknown_version", undefined],
  );
};

export const refusedEnvelopes: Story = async (world) => {
  const client = world.client();
  const task: Task = { model: "double", table: { value: [1.5] } };
  const named = { ...task, id: "a" };
  same((await failure(client.run([]))).code, "invalid_request");
  same((await failure(client.run(new Array(10_001).fill(task)))).code, "too_many_tasks");
  same((await failure(client.run([named, named]))).code, "duplicate_task");
  same((await failure(client.run([task], { merge: "mix" }))).code, "invalid_request");
};

export const merged: Story = async (world) => {
  const client = world.client();
  const tasks: Task[] = [
    { id: "a", model: "double", table: { value: [1] }, weight: 1 },
    { id: "b", model: "double", table: { value: [2, 3] }, weight: 2 },
    { id: "c", model: "double", table: { value: [4] }, weight: 0.5 },
  ];
  const mean = await client.run(tasks, { merge: "mean" });
  const found = mean.merged?.table.column("double").get(0) as number;
  holds(Math.abs(found - (2 + 2 * 4 + 2 * 6 + 0.5 * 8) / 5.5) < 1e-12, "the weighted mean");
  const concat = await client.run(tasks, { merge: { by: "concat" } });
  same(concat.merged?.table.toColumns(), { double: [2, 4, 6, 8] });
  const failing: Task = { id: "bad", model: "double", table: { value: [-1] } };
  const partly = await client.run([...tasks, failing], { merge: "concat" });
  same(partly.merged?.leftOut, ["bad"]);
  same(partly.merged?.table.rows, 4);
};

export const streaming: Story = async (world) => {
  await world.control("hold");
  const tasks = ["held", "double"].map((model) => ({ id: model, model, table: { value: [1.5] } }));
  const ids: string[] = [];
  for await (const { id, table } of world.client().stream(tasks)) {
    same(table.toColumns(), { double: [3] });
    ids.push(id);
    await world.control("open");
  }
  same(ids, ["double", "held"]);
};

export const clockSkew: Story = async (world) => {
  const now = Date.now;
  try {
    for (const skewMs of [3_600_000, -3_600_000]) {
      Date.now = () => now() + skewMs;
      const options = { timeoutMs: 10_000 };
      const answer = await world.client().predict("double", { value: [1.5] }, options);
      same(answer.toColumns(), { double: [3] });
    }
  } finally {
    Date.now = now;
  }
};
