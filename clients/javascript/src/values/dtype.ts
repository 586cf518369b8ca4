/**
 * The types that a column can have, and what their values are in JavaScript.
 *
 * | dtype | values | one value |
 * |---|---|---|
 * | BOOL | Uint8Array, 0 or 1 | boolean |
 * | INT8 to INT32, UINT8 to UINT32 | Int8Array ... Uint32Array | number |
 * | INT64, UINT64 | BigInt64Array, BigUint64Array | bigint |
 * | FP16, FP32 | Float32Array | number |
 * | FP64 | Float64Array | number |
 * | UTF8 | string[] | string |
 * | BYTES | Uint8Array[] | Uint8Array |
 * | TIMESTAMP | BigInt64Array of units since 1970-01-01 UTC | Date, to the millisecond |
 * | DATE | Int32Array of days since 1970-01-01 | "YYYY-MM-DD" |
 * | MIXED | MixedValue[] | bigint (INT64), number (FP64), string, boolean or null |
 *
 * Every FP16 number is an FP32 number, so that none is lost.
 */

/** The values of a column, by its dtype: all records one after the other, tensors row by row. */
export interface ValuesOf {
  BOOL: Uint8Array;
  INT8: Int8Array;
  INT16: Int16Array;
  INT32: Int32Array;
  INT64: BigInt64Array;
  UINT8: Uint8Array;
  UINT16: Uint16Array;
  UINT32: Uint32Array;
  UINT64: BigUint64Array;
  FP16: Float32Array;
  FP32: Float32Array;
  FP64: Float64Array;
  UTF8: readonly string[];
  BYTES: readonly Uint8Array[];
  TIMESTAMP: BigInt64Array;
  DATE: Int32Array;
  MIXED: readonly MixedValue[];
}

/** A name of a type, as in the protocol. */
export type Dtype = keyof ValuesOf;

/** One record of a MIXED column: INT64, FP64, UTF8, BOOL, or missing. */
export type MixedValue = bigint | number | string | boolean | null;

/** Any column's values. */
export type Values = ValuesOf[Dtype];

/** Values of fixed width that lie in one buffer. */
export type NumericValues = Exclude<Values, readonly unknown[]>;

/** The unit of a TIMESTAMP. */
export type Unit = "s" | "ms" | "us" | "ns";

/** One value, as `Column.get` gives it; of a tensor all values of the record, flat. */
export type Value = bigint | number | string | boolean | null | Date | Uint8Array | Values;

/** What makes values of fixed width. */
interface ValuesMaker {
  new (length: number): NumericValues;
}

const MAKERS: ReadonlyMap<Dtype, ValuesMaker> = new Map<Dtype, ValuesMaker>([
  ["BOOL", Uint8Array],
  ["INT8", Int8Array],
  ["INT16", Int16Array],
  ["INT32", Int32Array],
  ["INT64", BigInt64Array],
  ["UINT8", Uint8Array],
  ["UINT16", Uint16Array],
  ["UINT32", Uint32Array],
  ["UINT64", BigUint64Array],
  ["FP16", Float32Array],
  ["FP32", Float32Array],
  ["FP64", Float64Array],
  ["TIMESTAMP", BigInt64Array],
  ["DATE", Int32Array],
]);
const LISTED: ReadonlySet<string> = new Set(["UTF8", "BYTES", "MIXED"]);

/** The whole numbers that each integer type holds, as [least, greatest]. */
export const INTEGER_RANGES: ReadonlyMap<Dtype, readonly [bigint, bigint]> = new Map<
  Dtype,
  readonly [bigint, bigint]
>([
  ["INT8", [-(2n ** 7n), 2n ** 7n - 1n]],
  ["INT16", [-(2n ** 15n), 2n ** 15n - 1n]],
  ["INT32", [-(2n ** 31n), 2n ** 31n - 1n]],
  ["INT64", [-(2n ** 63n), 2n ** 63n - 1n]],
  ["UINT8", [0n, 2n ** 8n - 1n]],
  ["UINT16", [0n, 2n ** 16n - 1n]],
  ["UINT32", [0n, 2n ** 32n - 1n]],
  ["UINT64", [0n, 2n ** 64n - 1n]],
]);

/** How many units of a TIMESTAMP are a second, and with how many digits they are written. */
export const UNITS: ReadonlyMap<string, { readonly perSecond: bigint; readonly digits: number }> =
  new Map([
    ["s", { perSecond: 1n, digits: 0 }],
    ["ms", { perSecond: 1000n, digits: 3 }],
    ["us", { perSecond: 1_000_000n, digits: 6 }],
    ["ns", { perSecond: 1_000_000_000n, digits: 9 }],
  ]);

/** The dtype of a typed array. FP16 is none of them: it shares Float32Array with FP32. */
const DTYPE_OF_ARRAY: ReadonlyMap<string, Dtype> = new Map<string, Dtype>([
  ["Int8Array", "INT8"],
  ["Int16Array", "INT16"],
  ["Int32Array", "INT32"],
  ["BigInt64Array", "INT64"],
  ["Uint8Array", "UINT8"],
  ["Uint8ClampedArray", "UINT8"],
  ["Uint16Array", "UINT16"],
  ["Uint32Array", "UINT32"],
  ["BigUint64Array", "UINT64"],
  ["Float16Array", "FP16"],
  ["Float32Array", "FP32"],
  ["Float64Array", "FP64"],
]);

/** Whether this is the name of a type. */
export function isDtype(name: unknown): name is Dtype {
  return typeof name === "string" && (MAKERS.has(name as Dtype) || LISTED.has(name));
}

/** The dtype of a typed array; undefined for anything else. */
export function dtypeOfArray(values: unknown): Dtype | undefined {
  return isTypedArray(values) ? DTYPE_OF_ARRAY.get(values[Symbol.toStringTag]) : undefined;
}

/** A typed array of any type, a view of bytes without a type aside. */
export type TypedArray = NumericValues | Uint8ClampedArray;

/** Whether this is a typed array. */
export function isTypedArray(values: unknown): values is TypedArray {
  return ArrayBuffer.isView(values) && !(values instanceof DataView);
}

/** Makes zeros of a dtype of fixed width; undefined for UTF8, BYTES and MIXED. */
export function zerosOf(dtype: Dtype, count: number): NumericValues | undefined {
  const Maker = MAKERS.get(dtype);
  return Maker === undefined ? undefined : new Maker(count);
}

/** Whether these values are the ones that a column of the dtype holds, so that no copy is needed. */
export function areValuesOf(dtype: Dtype, values: unknown): values is NumericValues {
  const Maker = MAKERS.get(dtype);
  return Maker !== undefined && values instanceof Maker;
}
