/**
 * Tables as JSON, in the form that the protocol writes.
 *
 * - Whole numbers beyond 2^53 - 1 are text, NaN and infinities `"NaN"`, `"Infinity"`, `"-Infinity"`, bytes
 *   Base64, moments ISO 8601 in UTC, a missing record `null`. Scalars are flat, tensors nested.
 * - Numbers are in the fewest digits that read back to the same value.
 * - What JSON cannot say (years beyond 9999) is a `DtypeError` with its column, before anything is sent.
 */

import { toBase64 } from "../values/base64.js";
import { type Column, widthOf } from "../values/column.js";
import type { Dtype, MixedValue, NumericValues } from "../values/dtype.js";
import { singleText } from "../values/half.js";
import { inColumn } from "../values/infer.js";
import { formatDay, formatMoment } from "../values/moment.js";
import type { Table } from "../values/table.js";

const MAX_EXACT = 2n ** 53n - 1n;

/** The texts of all values of a column, one after the other. */
type WriteValues = (column: Column) => string[];

const WRITERS: ReadonlyMap<Dtype, WriteValues> = new Map<Dtype, WriteValues>([
  ["BOOL", (column) => map(column, (value) => (value === 1 ? "true" : "false"))],
  ["INT64", (column) => map(column, wideText)],
  ["UINT64", (column) => map(column, wideText)],
  ["FP16", (column) => map(column, floatingText(singleText))],
  ["FP32", (column) => map(column, floatingText(singleText))],
  ["FP64", (column) => map(column, floatingText(String))],
  ["UTF8", (column) => map(column, (value) => JSON.stringify(value))],
  ["BYTES", (column) => Array.from(column.as("BYTES"), (value) => `"${toBase64(value)}"`)],
  ["TIMESTAMP", moments],
  ["DATE", (column) => map(column, (value) => `"${formatDay(value as number)}"`)],
  ["MIXED", (column) => map(column, mixedText)],
]);

/** Writes a table. */
export function tableText(table: Table): string {
  return `{"rows":${table.rows},"columns":[${table.columns.map(columnText).join(",")}]}`;
}

/** Writes a column. */
export function columnText(column: Column): string {
  try {
    const { name, dtype, shape, unit, zone } = column;
    const head = JSON.stringify({
      name,
      dtype,
      ...(shape.length > 0 && { shape }),
      ...(dtype === "TIMESTAMP" && { unit, zone }),
    });
    return `${head.slice(0, -1)},"data":${dataText(column)}}`;
  } catch (error) {
    throw inColumn(column.name, error);
  }
}

function dataText(column: Column): string {
  const { shape, missing } = column;
  const values = WRITERS.get(column.dtype)?.(column) ?? narrow(column.values as NumericValues);
  const records = shape.length === 0 ? values : nested(values, shape, column.rows);
  if (missing !== undefined) {
    missing.forEach((isMissing, row) => {
      if (isMissing === 1) {
        records[row] = "null";
      }
    });
  }
  return `[${records.join(",")}]`;
}

function narrow(values: NumericValues): string[] {
  return Array.from(values as ArrayLike<number>, String);
}

function map(column: Column, write: (value: MixedValue) => string): string[] {
  return Array.from(column.values as ArrayLike<MixedValue>, write);
}

/** One text for each record: its values in lists, as deep as the shape. */
function nested(values: string[], shape: readonly number[], rows: number): string[] {
  let texts = values;
  for (let depth = shape.length - 1; depth >= 0; depth -= 1) {
    const inner = texts;
    const size = shape[depth] ?? 0;
    const count = rows * widthOf(shape.slice(0, depth));
    const listed = (_: unknown, at: number) => inner.slice(at * size, (at + 1) * size).join(",");
    texts = Array.from({ length: count }, listed).map((list) => `[${list}]`);
  }
  return texts;
}

function wideText(value: MixedValue): string {
  const integer = value as bigint;
  return integer > MAX_EXACT || integer < -MAX_EXACT ? `"${integer}"` : `${integer}`;
}

function floatingText(digits: (value: number) => string): (value: MixedValue) => string {
  return (value) => {
    const number = value as number;
    if (!Number.isFinite(number)) {
      return `"${number}"`;
    }
    return Object.is(number, -0) ? "-0.0" : digits(number);
  };
}

const doubleText = floatingText(String);

function moments(column: Column): string[] {
  const unit = column.unit ?? "us";
  // What stands in the place of a missing record is 0, which every unit can say.
  return Array.from(column.as("TIMESTAMP"), (value) => `"${formatMoment(value, unit)}"`);
}

function mixedText(value: MixedValue): string {
  switch (typeof value) {
    case "number":
      return Number.isInteger(value) || !Number.isFinite(value)
        ? `{"FP64":${doubleText(value)}}`
        : doubleText(value);
    case "bigint":
      return value > MAX_EXACT || value < -MAX_EXACT ? `{"INT64":"${value}"}` : `${value}`;
    case "string":
      return JSON.stringify(value);
    default:
      return String(value);
  }
}
