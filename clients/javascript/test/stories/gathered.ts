/** Stories of calls that are made at once, and travel together. */

import type { ClientOptions, Table } from "../../src/index.js";
import { failure, holds, isLate, type Story, same, type World } from "./world.js";

function doubled(table: Table): unknown {
  return table.column("double").get(0);
}

/** Calls `double` with 64 values at once through the relay; gives how many envelopes that took. */
async function envelopesOf64(world: World, options: ClientOptions): Promise<number> {
  await world.control("forget");
  const client = world.relayed(options);
  const values = Array.from({ length: 64 }, (_, number) => number + 0.5);
  const calls = values.map((value) => client.predict("double", { value: [value] }));
  same(
    (await Promise.all(calls)).map(doubled),
    values.map((value) => value * 2),
  );
  return (await world.seen()).envelopes;
}

export const microBatching: Story = async (world) => {
  const envelopes = await envelopesOf64(world, {});
  holds(envelopes < 32, `${envelopes} envelopes are fewer than 32`);
};

export const microBatchingOff: Story = async (world) => {
  same(await envelopesOf64(world, { microBatching: false }), 64);
};

/** Makes 16 calls at once, two of them others; gives the outcome of each. */
async function outcomes(calls: readonly Promise<Table>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(calls);
  return settled.map((one) => (one.status === "fulfilled" ? doubled(one.value) : one.reason.code));
}

const GOOD = Array.from({ length: 14 }, (_, number) => number + 0.5);

export const microBatchingOneBadCall: Story = async (world) => {
  const client = world.client();
  const found = await outcomes([
    client.predict("nobody", { value: [1] }),
    ...GOOD.map((value) => client.predict("double", { value: [value] })),
    client.predict("double", { value: [-1] }),
  ]);
  same(found, ["unknown_model", ...GOOD.map((value) => value * 2), "model_failed"]);
};

export const microBatchingWrongCall: Story = async (world) => {
  const client = world.client();
  const table = { value: [1] };
  const found = await outcomes([
    client.predict("double", table, { priority: 256 }),
    ...GOOD.map((value) => client.predict("double", { value: [value] })),
    client.predict("double", table, { idempotencyKey: "k".repeat(257) }),
  ]);
  same(found, ["invalid_request", ...GOOD.map((value) => value * 2), "invalid_request"]);
};

export const microBatchingDeadlines: Story = async (world) => {
  await world.control("hold");
  const client = world.client();
  const late = failure(client.predict("held", { value: [1] }, { timeoutMs: 50 }));
  const quick = client.predict("double", { value: [1.5] });
  same(doubled(await quick), 3);
  isLate(await late);
};
