/** The golden vectors of tasks: how they are found, and what they expect of a table. */

import { readFileSync } from "node:fs";
import { type ColumnValues, column } from "../src/values/build.js";
import { type Column, widthOf } from "../src/values/column.js";
import {
  type Dtype,
  type MixedValue,
  type TypedArray,
  type Unit,
  zerosOf,
} from "../src/values/dtype.js";
import { halfBits, halfValue } from "../src/values/half.js";
import { Table } from "../src/values/table.js";

const FOLDER = new URL("../../../../protocol/vectors/tasks/", import.meta.url);

/** A column that is expected. */
export interface ExpectedColumn {
  name: string;
  dtype: string;
  shape: number[];
  data_hex?: string;
  strings_hex?: string[];
  mixed?: unknown[];
  missing_hex?: string;
  unit?: string;
  zone?: string;
}

/** A table that is expected. */
export interface ExpectedTable {
  rows: number;
  columns: ExpectedColumn[];
}

/** A task that is expected in an envelope. */
export interface ExpectedTask {
  id: string;
  error?: string;
  model: string;
  version: string;
  outputs: string[];
  priority: number;
  timeout_us: number;
  idempotency_key: string;
  weight: number;
  table?: ExpectedTable;
  shared?: string;
}

/** An envelope that is expected. */
export interface ExpectedEnvelope {
  error?: string;
  tasks: ExpectedTask[];
  tables: { name: string; table?: ExpectedTable; error?: string }[];
  merge: { by: string; columns: string[] } | null;
  timeout_us: number;
}

/** One entry of `tasks.json`. */
export interface Vector {
  name: string;
  encoding: string;
  kind: string;
  of?: string;
  body: string;
  written?: boolean;
  status?: number;
  headers?: Record<string, string>;
  asked?: string[];
  merge?: boolean;
  expect: unknown;
}

/** All entries of `tasks.json`. */
export function allVectors(): Vector[] {
  return JSON.parse(readFileSync(new URL("tasks.json", FOLDER), "utf8"));
}

/** The bytes of a vector. */
export function bodyOf(vector: Vector): Uint8Array {
  return new Uint8Array(readFileSync(new URL(vector.body, FOLDER)));
}

/** A table in the form in which vectors expect one. */
export function described(table: Table): ExpectedTable {
  return { rows: table.rows, columns: table.columns.map(describedColumn) };
}

/** The table that is described. */
export function tableOf({ rows, columns }: ExpectedTable): Table {
  return new Table(columns.map(columnOf), rows);
}

function columnOf(described: ExpectedColumn): Column {
  const { name, dtype, shape, unit, zone, missing_hex } = described;
  const missing = missing_hex === undefined ? undefined : bytesOf(missing_hex);
  const ofTime = dtype === "TIMESTAMP" ? { unit: unit as Unit, zone } : {};
  const values = valuesOf(described);
  return column(values, dtype as Dtype, { shape, missing, ...ofTime }).named(name);
}

function valuesOf({ dtype, shape, data_hex, strings_hex, mixed }: ExpectedColumn): ColumnValues {
  if (mixed !== undefined) {
    return mixed.map(scalarOf);
  }
  if (strings_hex !== undefined) {
    const bytes = strings_hex.map(bytesOf);
    const items = dtype === "UTF8" ? bytes.map((text) => textOf(text)) : bytes;
    return shape.length === 0 ? items : inRecords(items, shape);
  }
  const { buffer } = bytesOf(data_hex ?? "");
  if (dtype === "FP16") {
    return Float32Array.from(new Uint16Array(buffer), halfValue);
  }
  const Values = zerosOf(dtype as Dtype, 0)?.constructor as new (buffer: ArrayBuffer) => TypedArray;
  return new Values(buffer);
}

function inRecords(items: unknown[], shape: readonly number[]): unknown[] {
  const width = widthOf(shape);
  return Array.from({ length: items.length / width }, (_, row) =>
    items.slice(row * width, (row + 1) * width),
  );
}

function scalarOf(described: unknown): MixedValue {
  const [dtype, value] = (described ?? []) as [string?, string?];
  switch (dtype) {
    case "INT64":
      return BigInt(value ?? "");
    case "FP64":
      return new Float64Array(bytesOf(value ?? "").buffer)[0] as number;
    case "UTF8":
      return textOf(bytesOf(value ?? ""));
    case "BOOL":
      return Boolean(value);
    default:
      return null;
  }
}

function textOf(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

function bytesOf(hex: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

function describedColumn(column: Column): ExpectedColumn {
  const { name, dtype, shape, unit, zone, missing } = column;
  return {
    name,
    dtype,
    shape: [...shape],
    ...describedValues(column),
    ...(missing && { missing_hex: hex(missing) }),
    ...(dtype === "TIMESTAMP" && { unit: String(unit), zone: String(zone) }),
  };
}

function describedValues(column: Column): Partial<ExpectedColumn> {
  switch (column.dtype) {
    case "MIXED":
      return { mixed: column.as("MIXED").map(describedScalar) };
    case "UTF8":
      return { strings_hex: column.as("UTF8").map((text) => hex(new TextEncoder().encode(text))) };
    case "BYTES":
      return { strings_hex: column.as("BYTES").map(hex) };
    case "FP16":
      return { data_hex: hex(Uint16Array.from(column.as("FP16"), halfBits)) };
    default:
      return { data_hex: hex(column.values as Uint8Array) };
  }
}

function describedScalar(value: MixedValue): unknown {
  switch (typeof value) {
    case "bigint":
      return ["INT64", String(value)];
    case "number":
      return ["FP64", hex(Float64Array.of(value))];
    case "string":
      return ["UTF8", hex(new TextEncoder().encode(value))];
    case "boolean":
      return ["BOOL", value];
    default:
      return null;
  }
}

function hex(values: ArrayBufferView): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("hex");
}
