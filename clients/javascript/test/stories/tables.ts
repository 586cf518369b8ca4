/** Stories of tables: their types, their extremes, and what is wrong with them. */

import { type ClientOptions, column, Table, type TableLike } from "../../src/index.js";
import { failure, holds, type Story, same } from "./world.js";

const ENCODINGS: readonly ClientOptions[] = [{ encoding: "json" }, { encoding: "arrow" }];
const MAX_INT64 = 2n ** 63n - 1n;
const MAX_UINT64 = 2n ** 64n - 1n;

/** Columns that a story gives to `echo`. */
interface EchoColumns {
  whole?: BigInt64Array;
  natural?: BigUint64Array;
  number?: Float64Array;
  text?: readonly (string | null)[];
}

/** A table for `echo` of as many rows as its longest column; the other columns are filled up. */
function echoTable(columns: EchoColumns): Table {
  const rows = Math.max(1, ...Object.values(columns).map(({ length }) => length));
  return Table.of({
    whole: columns.whole ?? new BigInt64Array(rows),
    natural: columns.natural ?? new BigUint64Array(rows),
    number: columns.number ?? new Float64Array(rows),
    flag: column(new Uint8Array(rows), "BOOL"),
    text: column(columns.text ?? new Array(rows).fill(""), "UTF8"),
    pair: column(new Float32Array(rows * 2), "FP32", { shape: [2] }),
  });
}

export const encodingsAgree: Story = async (world) => {
  const table = Table.of({
    whole: [1n, -5n, MAX_INT64],
    natural: column([0n, 1n, MAX_UINT64], "UINT64"),
    number: [0.5, -1.25, 1e300],
    flag: [true, false, true],
    text: ["käse 🐟", "", "plain"],
    pair: column(Float32Array.of(0.5, 1.5, 2.5, -0.25, 0, 1), "FP32", { shape: [2] }),
  });
  for (const options of ENCODINGS) {
    const answer = await world.client(options).predict("echo", table);
    same(
      answer.columns.map(({ dtype }) => dtype),
      ["INT64", "UINT64", "FP64", "BOOL", "UTF8", "FP32"],
    );
    same(answer.toColumns(), table.toColumns());
  }
};

export const columnsOfChoice: Story = async (world) => {
  const outputs = ["text", "whole"];
  const table = echoTable({ text: ["a"], whole: BigInt64Array.of(3n) });
  const answer = await world.client().predict("echo", table, { outputs });
  same(answer.names, outputs);
  same(answer.toRecords(), [{ text: "a", whole: 3n }]);
};

export const badTables: Story = async (world) => {
  const client = world.client();
  const tables: readonly (TableLike | string)[] = [
    { value: [1.5] },
    { other: [1.5] },
    { value: [1.5], other: [1] },
    { value: ["text"] },
    "not there",
  ];
  const results = await client.run(tables.map((table) => ({ model: "double", table })));
  same(
    [...results].map(({ error }) => error?.code),
    [undefined, "missing_column", "unexpected_column", "wrong_dtype", "unknown_table"],
  );
  same(results.get(0)?.table.toColumns(), { double: [3] });
  const ragged = { value: [1.5], other: [1, 2] };
  same((await failure(client.predict("double", ragged))).code, "wrong_shape");
};

export const zeroRows: Story = async (world) => {
  const table = new Table(
    echoTable({}).columns.map((of) => column([], of.dtype, of).named(of.name)),
  );
  for (const options of ENCODINGS) {
    const results = await world.client(options).run([{ model: "echo", table }]);
    same(results.get(0)?.batchRows, 0);
    same(results.tables[0]?.rows, 0);
    same(results.tables[0]?.names, table.names);
  }
};

export const bigTable: Story = async (world) => {
  const rows = 100_000;
  const table = echoTable({
    whole: BigInt64Array.from({ length: rows }, (_, row) => BigInt(row) - 50_000n),
    natural: BigUint64Array.from({ length: rows }, (_, row) => BigInt(row)),
    number: Float64Array.from({ length: rows }, (_, row) => row / 7),
    text: Array.from({ length: rows }, (_, row) => `row ${row}`),
  });
  for (const options of ENCODINGS) {
    const patient = { ...options, timeoutMs: 300_000 };
    const answer = await world.client(patient).predict("echo", table);
    same(answer.rows, rows);
    for (const { name, values } of table.columns) {
      const found = answer.column(name).values as ArrayLike<unknown>;
      const isEqual = Array.from(values as ArrayLike<unknown>).every(
        (value, at) => found[at] === value,
      );
      holds(isEqual, `column ${name} in ${options.encoding} is what was sent`);
    }
  }
};

export const unicode: Story = async (world) => {
  const planes = Array.from({ length: 17 }, (_, plane) =>
    String.fromCodePoint(plane * 0x10000 + 0x41),
  );
  const text = [...planes, "\0", "", "\ufeff", "e\u0301", "🐟".repeat(50_000)];
  for (const options of ENCODINGS) {
    const table = echoTable({ text });
    const tasks = planes.map((id) => ({ id: `${id}\0🐟`, model: "echo", table: "käse 🐟\0" }));
    const results = await world.client(options).run(tasks, { tables: { "käse 🐟\0": table } });
    same(
      [...results].map(({ id }) => id),
      tasks.map(({ id }) => id),
    );
    for (const answer of results.tables) {
      same(answer.column("text").toArray(), text);
    }
  }
};

export const loneSurrogate: Story = async (world) => {
  for (const options of ENCODINGS) {
    const client = world.client(options);
    const halves = { text: ["a\ud800", "\udc1fb"] };
    same((await failure(client.predict("echo", halves))).code, "wrong_dtype");
    const bytes = async () =>
      client.predict("echo", { text: column([Uint8Array.of(0xff)], "UTF8") });
    same((await failure(bytes())).code, "wrong_dtype");
  }
};

export const nulls: Story = async (world) => {
  for (const options of ENCODINGS) {
    const client = world.client(options);
    const answer = await client.predict("filled", { value: [1.5, null, 3.5] });
    same(answer.toColumns(), { seen: [1.5, -1, 3.5], same: [1.5, null, 3.5] });
    const mixed = await client.predict("filled", { value: [1, null, 3.5] });
    same(mixed.toColumns(), { seen: [1, -1, 3.5], same: [1, null, 3.5] });
    const missing = client.predict("double", { value: [1.5, null] });
    same((await failure(missing)).code, "null_not_allowed");
  }
};

export const extremeIntegers: Story = async (world) => {
  const whole = BigInt64Array.of(
    -(2n ** 63n),
    MAX_INT64,
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
  );
  const natural = BigUint64Array.of(0n, MAX_UINT64, 0n, 1n, 2n);
  for (const options of ENCODINGS) {
    const client = world.client(options);
    const answer = await client.predict("echo", echoTable({ whole, natural }));
    same([...answer.column("whole").as("INT64")], [...whole]);
    same([...answer.column("natural").as("UINT64")], [...natural]);
    await refused(client.predict("echo", { ...columnsOf(echoTable({})), whole: [2n ** 63n] }));
    for (const wrong of [2n ** 63n, -(2n ** 63n) - 1n]) {
      await refused(Promise.resolve().then(() => column([wrong], "INT64")));
    }
    for (const wrong of [2n ** 64n, -1n]) {
      await refused(Promise.resolve().then(() => column([wrong], "UINT64")));
    }
  }
};

async function refused(promise: Promise<unknown>): Promise<void> {
  same((await failure(promise)).code, "wrong_dtype");
}

function columnsOf(table: Table) {
  return Object.fromEntries(table.columns.map((each) => [each.name, each]));
}

export const notFinite: Story = async (world) => {
  const { NaN: nan, POSITIVE_INFINITY: infinity, MIN_VALUE, MAX_VALUE } = Number;
  const number = Float64Array.of(nan, infinity, -infinity, -0, MIN_VALUE, MAX_VALUE);
  for (const options of ENCODINGS) {
    const answer = await world.client(options).predict("echo", echoTable({ number }));
    same([...answer.column("number").as("FP64")], [...number]);
  }
};

export const times: Story = async (world) => {
  const text = "2021-05-31T10:20:30.123+02:00";
  const moments = column([text], "TIMESTAMP", { unit: "ms", zone: "Europe/Berlin" });
  same(moments.as("TIMESTAMP"), BigInt64Array.of(1_622_449_230_123n));
  for (const options of ENCODINGS) {
    const table = { ...columnsOf(echoTable({})), whole: moments };
    same((await failure(world.client(options).predict("echo", table))).code, "wrong_dtype");
  }
  const local = Promise.resolve().then(() => column(["2021-05-31T10:20:30"], "TIMESTAMP"));
  same((await failure(local)).code, "time_without_zone");
};
