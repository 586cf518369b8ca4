/**
 * Lists of JavaScript values, and typed arrays, into columns of a dtype that is stated.
 *
 * - `null` and `undefined` in the place of a record are a missing one; inside a record they are refused.
 * - Of shape `[2, 3]` a record is a nested list, or a flat one of six; the shape may be left out where
 *   records say it. A typed array as a whole is the values of all records, flat.
 * - A typed array of the kind that the dtype has is kept as it is; any other is converted value by value.
 */

import {
  DtypeError,
  InvalidRequestError,
  NullError,
  ShapeError,
  ZoneError,
} from "../errors/kinds.js";
import { Column, widthOf } from "./column.js";
import { converterOf, shown } from "./convert.js";
import {
  areValuesOf,
  type Dtype,
  isDtype,
  isTypedArray,
  type MixedValue,
  type NumericValues,
  type TypedArray,
  type Unit,
  type Values,
  zerosOf,
} from "./dtype.js";
import { checkDays, checkMoments, unitOf } from "./moment.js";

/** What else may be said of a column. */
export interface ColumnOptions {
  /** The shape of one record; `[]` is a scalar. Left out, it is the one of the records. */
  readonly shape?: readonly number[] | undefined;
  /** Of TIMESTAMP; `us` without it. */
  readonly unit?: Unit | undefined;
  /** Of TIMESTAMP: a name of the IANA database or an offset `+hh:mm`; `UTC` without it. */
  readonly zone?: string | undefined;
  /** For each record whether it is missing, beside the nulls of a list. */
  readonly missing?: ArrayLike<boolean | number> | undefined;
}

/** What the values of a column may be given as. */
export type ColumnValues = TypedArray | readonly unknown[];

const MAX_DIMENSIONS = 8;
const MAX_RECORD_VALUES = 2 ** 30;
const MAX_ZONE_BYTES = 64;

/** What is known of a column before its values are looked at. */
interface Plan {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly unit: Unit;
  readonly missing: ArrayLike<boolean | number> | undefined;
}

/**
 * Makes a column of a dtype.
 *
 * @throws DtypeError A value is none of the dtype; ShapeError: records do not have the shape;
 *   NullError: a value is missing inside a record; ZoneError: a time has no zone.
 */
export function column(values: ColumnValues, dtype: Dtype, options: ColumnOptions = {}): Column {
  if (!Array.isArray(values) && !isTypedArray(values)) {
    throw new DtypeError(`${shown(values)} is no column; expected a list or a typed array`);
  }
  const { shape = shapeOf(values), unit = "us", missing } = options;
  checkKind(dtype, shape, options);
  const plan = { dtype, shape, unit, missing };
  const width = widthOf(shape);
  const rows = isTypedArray(values) ? rowsOf(values, width, missing) : values.length;
  if (missing !== undefined && missing.length !== rows) {
    throw new ShapeError(`missing says ${missing.length} records, the values are ${rows}`);
  }
  const filled = isTypedArray(values) ? fromArray(plan, values) : fromList(plan, values);
  return made(plan, rows, filled, options.zone);
}

/** Makes a column of values that a column of the dtype has; what is missing becomes zero, or empty. */
export function columnOfValues(
  values: Values,
  dtype: Dtype,
  rows: number,
  options: ColumnOptions & { readonly missing?: Uint8Array | undefined },
): Column {
  const { shape = [], unit = "us", missing } = options;
  checkKind(dtype, shape, options);
  const plan = { dtype, shape, unit, missing };
  return made(plan, rows, zeroed(values, missing, widthOf(shape)), options.zone);
}

function made(plan: Plan, rows: number, filled: Filled, zone = "UTC"): Column {
  const { dtype, shape, unit } = plan;
  checkTimes(filled.values, plan);
  const ofTime = dtype === "TIMESTAMP" ? { unit, zone } : {};
  return new Column({ name: "", rows, dtype, shape, ...filled, ...ofTime });
}

function checkKind(dtype: Dtype, shape: readonly number[], options: ColumnOptions): void {
  if (!isDtype(dtype)) {
    throw new DtypeError(`'${dtype}' is no dtype of the protocol`);
  }
  const isSize = (size: number) => Number.isSafeInteger(size) && size >= 0;
  if (shape.length > MAX_DIMENSIONS || !shape.every(isSize)) {
    throw new ShapeError(`[${shape}] is no shape; expected at most ${MAX_DIMENSIONS} whole sizes`);
  }
  if (widthOf(shape.filter((size) => size > 0)) > MAX_RECORD_VALUES) {
    throw new ShapeError(`a record of the shape [${shape}] has too many values`);
  }
  if (dtype === "MIXED" && shape.length > 0) {
    throw new ShapeError(`MIXED has scalars only; the shape of a record is [${shape}]`);
  }
  const { unit, zone } = options;
  if (dtype !== "TIMESTAMP" && (unit ?? zone) !== undefined) {
    throw new InvalidRequestError(`${dtype} has no unit and no zone; only TIMESTAMP has`);
  }
  checkZone(zone);
  unitOf(unit ?? "us");
}

function checkZone(zone: string | undefined): void {
  if (zone === "") {
    throw new ZoneError("the zone is empty");
  }
  if (zone !== undefined && new TextEncoder().encode(zone).length > MAX_ZONE_BYTES) {
    throw new InvalidRequestError(`the zone is longer than ${MAX_ZONE_BYTES} bytes`);
  }
}

/** Years are 0001 to 9999, in whatever form they came. */
function checkTimes(values: Values, { dtype, unit }: Plan): void {
  if (dtype === "TIMESTAMP") {
    checkMoments(values as BigInt64Array, unit);
  } else if (dtype === "DATE") {
    checkDays(values as Int32Array);
  }
}

/** The shape that the first record has: nested lists say it, anything else is a scalar. */
function shapeOf(values: ColumnValues): number[] {
  const shape: number[] = [];
  let inner: unknown = isTypedArray(values) ? null : values.find((value) => value != null);
  while (Array.isArray(inner) && shape.length <= MAX_DIMENSIONS) {
    shape.push(inner.length);
    inner = inner[0];
  }
  const isBytes = inner instanceof Uint8Array;
  return isTypedArray(inner) && !isBytes ? [...shape, inner.length] : shape;
}

function rowsOf(values: TypedArray, width: number, missing: Plan["missing"]): number {
  const rows = width === 0 ? (missing?.length ?? 0) : values.length / width;
  if (!Number.isInteger(rows)) {
    throw new ShapeError(`${values.length} values are no whole records of ${width}`);
  }
  return rows;
}

interface Filled {
  readonly values: Values;
  readonly missing: Uint8Array | undefined;
}

function fromArray(plan: Plan, given: TypedArray): Filled {
  const isKept = areValuesOf(plan.dtype, given) && isExact(plan.dtype);
  const values = isKept ? given : converted(plan, given);
  return zeroed(values, maskOf(plan.missing), widthOf(plan.shape));
}

/** The values with nothing in the place of missing records; a copy where there are any. */
function zeroed(values: Values, missing: Uint8Array | undefined, width: number): Filled {
  if (!missing?.includes(1)) {
    return { values, missing: undefined };
  }
  const copy = values.slice() as unknown[];
  const nothing = nothingOf(values);
  missing.forEach((isMissing, record) => {
    if (isMissing === 1) {
      copy.fill(nothing, record * width, (record + 1) * width);
    }
  });
  return { values: copy as unknown as Values, missing };
}

/** Whether any value of the array that holds a dtype is one of the dtype. */
function isExact(dtype: Dtype): boolean {
  return dtype !== "BOOL" && dtype !== "FP16";
}

function converted(plan: Plan, given: TypedArray): NumericValues {
  const values = zerosOf(plan.dtype, given.length);
  if (values === undefined) {
    throw new DtypeError(`a ${given.constructor.name} holds no ${plan.dtype}`);
  }
  const isBits = plan.dtype === "BOOL";
  const convert = converterOf(plan.dtype, plan.unit);
  for (let at = 0; at < given.length; at += 1) {
    const value = given[at];
    values[at] = convert(isBits && (value === 0 || value === 1) ? value === 1 : value) as never;
  }
  return values;
}

function fromList(plan: Plan, list: readonly unknown[]): Filled {
  const width = widthOf(plan.shape);
  const values: Values =
    zerosOf(plan.dtype, list.length * width) ?? blanks(plan.dtype, list, width);
  const missing = new Uint8Array(list.length);
  const convert = converterOf(plan.dtype, plan.unit);
  const isScalar = plan.shape.length === 0;
  list.forEach((record, row) => {
    if (record === null || record === undefined || plan.missing?.[row]) {
      missing[row] = 1;
    } else if (isScalar) {
      (values as MixedValue[])[row] = convert(record) as MixedValue;
    } else {
      flat(record, plan.shape, row).forEach((value, at) => {
        (values as MixedValue[])[row * width + at] = convert(value) as MixedValue;
      });
    }
  });
  return { values, missing: plan.dtype === "MIXED" || !missing.includes(1) ? undefined : missing };
}

/** What stands in the place of missing values that have no fixed width. */
function blanks(dtype: Dtype, list: readonly unknown[], width: number): Values {
  const blank = dtype === "MIXED" ? null : dtype === "UTF8" ? "" : new Uint8Array(0);
  return new Array(list.length * width).fill(blank);
}

/** All values of one record, which is nested as its shape says, or flat. */
function flat(record: unknown, shape: readonly number[], row: number): unknown[] {
  const width = widthOf(shape);
  const isFlat = isTypedArray(record) || (Array.isArray(record) && !record.some(Array.isArray));
  const values = isFlat ? Array.from(record as unknown[]) : nestedValues(record, shape, row);
  if (values.length !== width) {
    throw new ShapeError(`record ${row} has ${values.length} values; its shape is [${shape}]`);
  }
  if (values.some((value) => value === null || value === undefined)) {
    throw new NullError(`record ${row} has a value that is missing; only whole records can be`);
  }
  return values;
}

function nestedValues(record: unknown, shape: readonly number[], row: number): unknown[] {
  const [size, ...inner] = shape;
  if (size === undefined) {
    return [record];
  }
  if (isTypedArray(record) && inner.length === 0) {
    return Array.from(record as unknown as unknown[]);
  }
  if (!Array.isArray(record) || record.length !== size) {
    throw new ShapeError(`record ${row} does not have the shape [${shape}]: ${shown(record)}`);
  }
  return record.flatMap((part) => nestedValues(part, inner, row));
}

function maskOf(missing: ArrayLike<boolean | number> | undefined): Uint8Array | undefined {
  const mask = missing && Uint8Array.from(missing, (isMissing) => (isMissing ? 1 : 0));
  return mask?.includes(1) ? mask : undefined;
}

/** What stands in the place of a missing value among these. */
function nothingOf(values: Values): unknown {
  if (Array.isArray(values)) {
    return typeof values[0] === "string" ? "" : new Uint8Array(0);
  }
  return values instanceof BigInt64Array || values instanceof BigUint64Array ? 0n : 0;
}
