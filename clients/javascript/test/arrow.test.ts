/** Tables of apache-arrow, there and back; and bytes that lead outside. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as arrow from "apache-arrow";
import { fromArrow, toArrow } from "../src/arrow/index.js";
import { readStream } from "../src/arrow/read.js";
import { column, ShoalError, Table } from "../src/index.js";

test("a table of Arrow comes in, and goes out as what it was", () => {
  const given = arrow.tableFromArrays({
    whole: BigInt64Array.of(1n, -1n),
    number: Float32Array.of(0.5, 1.5),
    word: ["a", "b"],
  });
  const table = fromArrow(given);
  assert.deepEqual(
    table.columns.map(({ name, dtype }) => `${name} ${dtype}`),
    ["whole INT64", "number FP32", "word UTF8"],
  );
  const back = toArrow(table);
  assert.deepEqual([...(back.getChild("whole") ?? [])], [1n, -1n]);
  assert.deepEqual([...(back.getChild("word") ?? [])], ["a", "b"]);
});

test("what is sliced and chunked is read as what it shows", () => {
  const long = arrow.tableFromArrays({ x: Int32Array.from({ length: 100 }, (_, at) => at) });
  const both = long.slice(10, 13).concat(long.slice(97));
  assert.deepEqual(fromArrow(both).column("x").toArray(), [10, 11, 12, 97, 98, 99]);
});

test("every dtype comes back, with its nulls", () => {
  const table = Table.of({
    flag: [true, null],
    half: column([0.5, null], "FP16"),
    bytes: [Uint8Array.of(1, 2), null],
    at: column([1n, null], "TIMESTAMP", { unit: "ns", zone: "Europe/Berlin" }),
    day: column(["2021-05-31", null], "DATE"),
    pair: column([[1, 2], null], "UINT16"),
    cube: column([[[["a"], ["b"]]], null], "UTF8"),
    mixed: [1, "käse 🐟"],
  });
  const back = fromArrow(toArrow(table));
  assert.deepEqual(back.toColumns(), table.toColumns());
  assert.deepEqual(
    back.columns.map(({ dtype, shape, unit, zone }) => [dtype, shape, unit, zone]),
    table.columns.map(({ dtype, shape, unit, zone }) => [dtype, shape, unit, zone]),
  );
});

test("types that the protocol does not have are refused by their column", () => {
  const local = arrow.vectorFromArray([new Date(0)], new arrow.TimestampMillisecond());
  assert.throws(() => fromArrow(new arrow.Table({ x: local })), { code: "time_without_zone" });
  const times = arrow.vectorFromArray([1], new arrow.TimeSecond());
  assert.throws(() => fromArrow(new arrow.Table({ x: times })), /^DtypeError: column 'x'/u);
});

/** Numbers that look like chance, the same every time: mulberry32. */
function* seeded(seed: number): Generator<number> {
  let state = seed;
  for (;;) {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    yield ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }
}

test("streams with wrong bytes are refused, or read, and nothing else happens", () => {
  const table = Table.of({
    number: [0.5, null, 1.5],
    word: ["a", null, "käse"],
    pair: column([[1, 2], null, [3, 4]], "FP32"),
    mixed: [1n, "a", null],
  });
  const good = toBytes(table);
  const chance = seeded(8);
  const next = () => chance.next().value as number;
  for (let round = 0; round < 1000; round += 1) {
    const bytes = good.slice(0, next() < 0.3 ? Math.floor(next() * good.length) : good.length);
    for (let wrong = 0; wrong < 3 && bytes.length > 0; wrong += 1) {
      bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * 256);
    }
    try {
      readStream(bytes, arrow).toRecords();
    } catch (error) {
      assert.ok(error instanceof ShoalError, `round ${round}: ${(error as Error).stack}`);
    }
  }
});

function toBytes(table: Table): Uint8Array {
  return arrow.tableToIPC(toArrow(table), "stream");
}
