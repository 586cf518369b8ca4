/** What tables are made of, and what they give. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type ColumnLike, column, type Dtype, ShoalError, Table } from "../src/index.js";

function dtypeOf(values: ColumnLike): string {
  const { dtype, shape } = Table.of({ x: values }).column("x");
  return shape.length > 0 ? `${dtype} [${shape}]` : dtype;
}

function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof ShoalError, String(error));
    return error.code;
  }
  return "none";
}

const INFERRED: readonly (readonly [string, ColumnLike, string])[] = [
  ["whole numbers", [1, 2, null], "INT64"],
  ["numbers with a fraction", [0.5, Number.NaN], "FP64"],
  ["a zero below zero", [-0], "FP64"],
  ["both kinds of numbers", [1, 0.5], "MIXED"],
  ["bigints", [1n, 2], "INT64"],
  ["bigints above INT64", [1n, 2n ** 64n - 1n], "UINT64"],
  ["booleans", [true, undefined], "BOOL"],
  ["texts", ["a", null], "UTF8"],
  ["bytes", [new Uint8Array(1), new ArrayBuffer(2)], "BYTES"],
  ["dates", [new Date(0)], "TIMESTAMP"],
  ["beside each other", [1, "a", true, 0.5, null], "MIXED"],
  ["nothing", [null, undefined], "MIXED"],
  ["no records", [], "MIXED"],
  ["nested whole numbers", [[1, 2], null], "INT64 [2]"],
  ["nested numbers", [[[1, 0.5]], [[2, 3]]], "FP64 [1,2]"],
  ["typed arrays as records", [Float32Array.of(1, 2)], "FP32 [2]"],
  ["Int8Array", new Int8Array(1), "INT8"],
  ["Uint8ClampedArray", new Uint8ClampedArray(1), "UINT8"],
  ["Uint16Array", new Uint16Array(1), "UINT16"],
  ["Float32Array", new Float32Array(1), "FP32"],
  ["BigUint64Array", new BigUint64Array(1), "UINT64"],
];

for (const [name, values, expected] of INFERRED) {
  test(`${name}: ${expected}`, () => assert.equal(dtypeOf(values), expected));
}

const REFUSED: readonly (readonly [string, () => unknown, string])[] = [
  ["a symbol", () => Table.of({ x: [Symbol("a")] }), "wrong_dtype"],
  ["an object", () => Table.of({ x: [{}] }), "wrong_dtype"],
  ["a date beside a text", () => Table.of({ x: [new Date(0), "a"] }), "wrong_dtype"],
  ["texts beside numbers in records", () => Table.of({ x: [[1, "a"]] }), "wrong_dtype"],
  ["half a surrogate pair", () => Table.of({ x: ["a\udc1f"] }), "wrong_dtype"],
  ["half a pair in a name", () => Table.of({ "\ud800": [1] }), "wrong_dtype"],
  ["an integer too large for MIXED", () => Table.of({ x: ["a", 2n ** 63n] }), "wrong_dtype"],
  ["a date that is none", () => Table.of({ x: [new Date(Number.NaN)] }), "wrong_dtype"],
  ["ragged columns", () => Table.of({ x: [1], y: [1, 2] }), "wrong_shape"],
  ["ragged records", () => Table.of({ x: [[1, 2], [3]] }), "wrong_shape"],
  ["a null inside a record", () => Table.of({ x: [[1, null]] }), "null_not_allowed"],
  ["a record that is none", () => Table.of([{ x: 1 }, 5 as never]), "wrong_dtype"],
  ["a table that is none", () => Table.of(5 as never), "wrong_dtype"],
  ["a text as a column", () => Table.of({ x: "abc" as never }), "wrong_dtype"],
  ["a column that is not there", () => Table.of({ x: [1] }).column("y"), "unexpected_column"],
  ["300 as INT8", () => column([300], "INT8"), "wrong_dtype"],
  ["1.5 as INT32", () => column([1.5], "INT32"), "wrong_dtype"],
  ["2^53 as a number", () => column([2 ** 53], "INT64"), "wrong_dtype"],
  ["a text as FP64", () => column(["1.5"], "FP64"), "wrong_dtype"],
  ["1e39 as FP32", () => column(Float64Array.of(1e39), "FP32"), "wrong_dtype"],
  ["70,000 as FP16", () => column([70_000], "FP16"), "wrong_dtype"],
  ["2 as BOOL", () => column(Uint8Array.of(2), "BOOL"), "wrong_dtype"],
  [
    "a time without a zone",
    () => column(["2021-05-31T10:20:30"], "TIMESTAMP"),
    "time_without_zone",
  ],
  ["an empty zone", () => column([0n], "TIMESTAMP", { zone: "" }), "time_without_zone"],
  ["30 February", () => column(["2021-02-30"], "DATE"), "wrong_dtype"],
  ["year 10000", () => column([253_402_300_800n], "TIMESTAMP", { unit: "s" }), "wrong_dtype"],
  ["a unit of numbers", () => column([1], "INT64", { unit: "s" }), "invalid_request"],
  ["no such dtype", () => column([1], "INT7" as Dtype), "wrong_dtype"],
  [
    "values that fill no record",
    () => column(new Float32Array(3), "FP32", { shape: [2] }),
    "wrong_shape",
  ],
  [
    "a mask of another length",
    () => column([1], "INT8", { missing: [true, false] }),
    "wrong_shape",
  ],
  ["nine dimensions", () => column([], "INT8", { shape: new Array(9).fill(1) }), "wrong_shape"],
  ["a number as values", () => column(5 as never, "INT8"), "wrong_dtype"],
  ["tensors of MIXED", () => column([[1]], "MIXED"), "wrong_shape"],
];

for (const [name, act, expected] of REFUSED) {
  test(`refused: ${name}`, () => assert.equal(codeOf(act), expected));
}

test("an error names the column", () => {
  assert.throws(() => Table.of({ age: [Symbol("a")] }), /^DtypeError: column 'age': Symbol\(a\)/u);
});

test("records become columns, and a name that one lacks is missing there", () => {
  const table = Table.of([
    { age: 41, name: "a" },
    { name: "b", city: "c" },
  ]);
  assert.deepEqual(table.names, ["age", "name", "city"]);
  assert.deepEqual(table.toColumns(), { age: [41n, null], name: ["a", "b"], city: [null, "c"] });
  assert.deepEqual([...table], table.toRecords());
  assert.equal(Table.of([{}, {}]).rows, 2);
});

test("a typed array is kept as it is, and zeroed where a mask says so", () => {
  const values = Float32Array.of(1, 2, 3, 4);
  assert.equal(Table.of({ x: values }).column("x").values, values);
  const masked = column(values, "FP32", { shape: [2], missing: [false, true] });
  assert.deepEqual([...masked.as("FP32")], [1, 2, 0, 0]);
  assert.deepEqual(masked.toArray(), [Float32Array.of(1, 2), null]);
  assert.deepEqual([...values], [1, 2, 3, 4]);
});

test("moments are exact in their unit, and dates to the millisecond", () => {
  const text = "2021-05-31T10:20:30.123456789+02:00";
  const moments = column([text, null], "TIMESTAMP", { unit: "ns", zone: "Europe/Berlin" });
  assert.deepEqual([...moments.as("TIMESTAMP")], [1_622_449_230_123_456_789n, 0n]);
  assert.deepEqual(moments.get(0), new Date("2021-05-31T08:20:30.123Z"));
  assert.equal(moments.get(1), null);
  const before = column([new Date(-1)], "TIMESTAMP", { unit: "s" });
  assert.deepEqual([...before.as("TIMESTAMP")], [-1n]);
  const days = column(["2021-05-31", new Date(0), -1, null], "DATE");
  assert.deepEqual(days.toArray(), ["2021-05-31", "1970-01-01", "1969-12-31", null]);
});

test("values are given by the type that the dtype has", () => {
  const flags = column([true, null, false], "BOOL");
  assert.deepEqual(flags.toArray(), [true, null, false]);
  assert.deepEqual([...(flags.missing ?? [])], [0, 1, 0]);
  assert.throws(() => flags.as("INT8"), /the column is BOOL, not INT8/u);
  assert.equal(column([1n, 1, null], "MIXED").isMissing(2), true);
  assert.deepEqual(column([1n, 1, "a", true], "MIXED").toArray(), [1n, 1, "a", true]);
});

test("what is copied does not change with what it was copied from", () => {
  const values = Int32Array.of(1);
  const bytes = Uint8Array.of(1);
  const table = Table.of({ x: values, y: column([bytes], "BYTES") });
  const copy = table.copy();
  values[0] = 2;
  bytes[0] = 2;
  assert.deepEqual(copy.toRecords(), [{ x: 1, y: Uint8Array.of(1) }]);
});
