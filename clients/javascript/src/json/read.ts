/**
 * Tables of an answer, out of parsed JSON: every value is checked, and exact.
 *
 * - Servers write whole numbers beyond 2^53 - 1 as text; one that is written as a number would have been
 *   rounded by the parser, and is refused.
 * - `data` of a tensor is nested as deep as its shape, or flat. Fields nobody knows are passed over.
 * - What is wrong is thrown with the code it has in the protocol, and the column it is about.
 */

import {
  BodyTooLargeError,
  DtypeError,
  InvalidRequestError,
  MalformedJsonError,
  NullError,
  ShapeError,
} from "../errors/kinds.js";
import { fromBase64 } from "../values/base64.js";
import { column } from "../values/build.js";
import { type Column, widthOf } from "../values/column.js";
import { shown } from "../values/convert.js";
import {
  type Dtype,
  INTEGER_RANGES,
  isDtype,
  type MixedValue,
  type Unit,
} from "../values/dtype.js";
import { inColumn } from "../values/infer.js";
import { Table } from "../values/table.js";

type Fields = Readonly<Record<string, unknown>>;
/** Turns a value of JSON into one that `column` takes. */
type Read = (value: unknown) => unknown;

const MAX_NULL_VALUES = 2 ** 20; // 8 MiB of the widest
const DIGITS = /^(?:0|-?[1-9]\d*)$/u;
const NOT_FINITE: ReadonlyMap<unknown, number> = new Map([
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
]);

/** Reads the bytes of a table. Throws a `MalformedJsonError` where they are no JSON. */
export function readTable(bytes: Uint8Array): Table {
  return tableFromJson(parseJson(bytes));
}

/** Parses bytes, which are UTF-8. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    throw new MalformedJsonError(`the text is no JSON: ${(error as Error).message}`);
  }
}

/** Reads a table. */
export function tableFromJson(json: unknown): Table {
  const { columns, rows } = fieldsOf(json, "a table");
  if (!Array.isArray(columns)) {
    throw new InvalidRequestError(`columns is ${shown(columns)}; expected a list`);
  }
  if (rows !== undefined && !isCount(rows)) {
    throw new InvalidRequestError(`rows is ${shown(rows)}; expected a whole number`);
  }
  return new Table(
    columns.map((column) => columnFromJson(column, rows)),
    rows,
  );
}

function columnFromJson(json: unknown, rows: number | undefined): Column {
  const { name, dtype, shape = [], unit, zone, data } = fieldsOf(json, "a column");
  if (typeof name !== "string") {
    throw new InvalidRequestError(`a column has the name ${shown(name)}; expected text`);
  }
  try {
    const kind = checkedKind(dtype, shape, unit, zone);
    const records = recordsOf(data, kind.shape, rows);
    return column(records.map(readerOf(kind)), kind.dtype, kind.options).named(name);
  } catch (error) {
    throw inColumn(name, error);
  }
}

/** What the fields of a column beside its data say. */
interface Kind {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly options: {
    shape: readonly number[];
    unit?: Unit | undefined;
    zone?: string | undefined;
  };
}

function checkedKind(dtype: unknown, shape: unknown, unit: unknown, zone: unknown): Kind {
  if (!isDtype(dtype)) {
    const wrong = `the dtype is ${shown(dtype)}, which is none of the protocol`;
    throw typeof dtype === "string" ? new DtypeError(wrong) : new InvalidRequestError(wrong);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new InvalidRequestError(`the shape is ${shown(shape)}; expected whole numbers`);
  }
  if (!isOptionalText(unit) || !isOptionalText(zone)) {
    throw new InvalidRequestError("unit and zone have to be text");
  }
  return { dtype, shape, options: { shape, unit: unit as Unit | undefined, zone } };
}

function isOptionalText(value: unknown): value is string | undefined {
  return value === undefined || typeof value === "string";
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function fieldsOf(json: unknown, what: string): Fields {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new InvalidRequestError(`${shown(json)} is no ${what.slice(2)}; expected an object`);
  }
  return json as Fields;
}

/** The records of a column: of a tensor each is nested, flat, or null. */
function recordsOf(data: unknown, shape: readonly number[], rows: number | undefined): unknown[] {
  if (!Array.isArray(data)) {
    const what = `the data is ${shown(data)}; expected a list`;
    throw data === undefined ? new InvalidRequestError(what) : new ShapeError(what);
  }
  if (shape.length === 0) {
    const list = data.find(Array.isArray);
    return list === undefined ? data : refuseShape(list, shape);
  }
  const isAllNull = data.every((record) => record === null);
  const isNested = data.some(Array.isArray) || (isAllNull && (rows ?? data.length) === data.length);
  checkNulls(data, shape);
  return isNested ? data.map((record) => checkedRecord(record, shape)) : cut(data, widthOf(shape));
}

/** A short text cannot announce a large table: a null is a word, and stands for a whole record. */
function checkNulls(data: readonly unknown[], shape: readonly number[]): void {
  const missing = data.reduce((count: number, record) => count + (record === null ? 1 : 0), 0);
  if (missing * widthOf(shape) > MAX_NULL_VALUES) {
    throw new BodyTooLargeError(`nulls stand for more than ${MAX_NULL_VALUES} values`);
  }
}

/** A record that is nested as deep as its shape, without anything missing inside. */
function checkedRecord(record: unknown, shape: readonly number[]): unknown {
  return record === null ? null : flattened(record, shape);
}

function flattened(part: unknown, [size, ...inner]: readonly number[]): unknown[] {
  if (size === undefined) {
    if (part === null) {
      throw new NullError("a value inside a record is missing; only whole records can be");
    }
    return Array.isArray(part) ? refuseShape(part, []) : [part];
  }
  if (!Array.isArray(part) || part.length !== size) {
    return refuseShape(part, [size, ...inner]);
  }
  return part.flatMap((value) => flattened(value, inner));
}

function refuseShape(found: unknown, shape: readonly number[]): never {
  const what = Array.isArray(found) ? `a list of ${found.length}` : shown(found);
  throw new ShapeError(`${what} stands where the shape [${shape}] is expected`);
}

/** Flat data in records: one is missing where all of its values are. */
function cut(data: readonly unknown[], width: number): unknown[] {
  if (width === 0 || data.length % width !== 0) {
    throw new ShapeError(`${data.length} values are no whole records of ${width}`);
  }
  return Array.from({ length: data.length / width }, (_, row) => {
    const values = data.slice(row * width, (row + 1) * width);
    if (!values.includes(null)) {
      return values;
    }
    if (values.some((value) => value !== null)) {
      throw new NullError(`record ${row} has a value that is missing; only whole records can be`);
    }
    return null;
  });
}

function readerOf({ dtype, shape }: Kind): Read {
  const read = scalarReader(dtype);
  if (shape.length === 0) {
    return (value) => (value === null ? null : read(value));
  }
  return (record) => (record === null ? null : (record as unknown[]).map(read));
}

function scalarReader(dtype: Dtype): Read {
  if (INTEGER_RANGES.has(dtype)) {
    return (value) => readInteger(value, dtype);
  }
  switch (dtype) {
    case "FP16":
    case "FP32":
    case "FP64":
      return (value) => readNumber(value, dtype);
    case "BYTES":
      return (value) => (typeof value === "string" ? fromBase64(value) : refuse(value, dtype));
    case "TIMESTAMP":
    case "DATE":
      return (value) => (typeof value === "string" ? value : refuse(value, dtype));
    case "MIXED":
      return readMixed;
    default:
      return (value) => value;
  }
}

function readInteger(value: unknown, dtype: Dtype): bigint | number {
  if (typeof value === "string") {
    return DIGITS.test(value) ? BigInt(value) : refuse(value, dtype);
  }
  return Number.isSafeInteger(value) ? (value as number) : refuse(value, dtype);
}

function readNumber(value: unknown, dtype: Dtype): number {
  const isNumber = typeof value === "number" && Number.isFinite(value);
  return isNumber ? value : (NOT_FINITE.get(value) ?? refuse(value, dtype));
}

function readMixed(value: unknown): MixedValue {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value;
    case "number":
      return Number.isInteger(value) ? exact(value) : readNumber(value, "MIXED");
    default:
      return readTyped(value);
  }
}

/** `{"INT64": ...}` or `{"FP64": ...}`: what a plain value cannot say. */
function readTyped(value: unknown): MixedValue {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  const [[dtype, inner] = [], ...others] = isObject ? Object.entries(value) : [];
  if (others.length > 0 || (dtype !== "INT64" && dtype !== "FP64")) {
    return refuse(value, "MIXED");
  }
  return dtype === "FP64" ? readNumber(inner, dtype) : BigInt(readInteger(inner, dtype));
}

function exact(value: number): bigint {
  return Number.isSafeInteger(value) ? BigInt(value) : refuse(value, "MIXED");
}

function refuse(value: unknown, dtype: Dtype): never {
  throw new DtypeError(`${shown(value)} is no ${dtype}`);
}
