/**
 * The dtype of a list or typed array that states none.
 *
 * | values | dtype |
 * |---|---|
 * | a typed array | its own: Float32Array is FP32, BigInt64Array INT64, Uint8Array UINT8 ... |
 * | numbers without a fraction, bigints | INT64; UINT64 where one is above 2^63 - 1 and none below 0 |
 * | numbers with a fraction, NaN, infinities, -0 | FP64 |
 * | booleans, strings | BOOL, UTF8 |
 * | Uint8Array or ArrayBuffer | BYTES |
 * | Date | TIMESTAMP in microseconds, UTC |
 * | numbers of both kinds, strings and booleans beside each other, or nothing but null | MIXED |
 * | lists, nested, or typed arrays, of equal length | tensors; numbers of both kinds are FP64 |
 *
 * `null` and `undefined` are missing records. JavaScript has one type of number: 1.0 is 1, and INT64. A
 * model that takes FP32 takes INT64 too, so that this matters to routers only; `column` states a dtype.
 */

import { DtypeError } from "../errors/kinds.js";
import { type ColumnValues, column } from "./build.js";
import { Column } from "./column.js";
import { shown } from "./convert.js";
import { type Dtype, dtypeOfArray, isTypedArray } from "./dtype.js";

/** What one column of a table may be given as. */
export type ColumnLike = Column | ColumnValues;

const MAX_INT64 = 2n ** 63n - 1n;
const MAX_DEPTH = 9;

/** What has been seen of a list: kinds of values, and whether a whole number needs UINT64. */
interface Seen {
  readonly kinds: Set<Dtype>;
  isAboveInt64: boolean;
}

/** Makes a column of whatever a caller has; see the table above. */
export function columnFrom(name: string, given: ColumnLike): Column {
  if (given instanceof Column) {
    return given.named(name);
  }
  try {
    const dtype = dtypeOfArray(given) ?? dtypeOfList(given);
    return column(given, dtype).named(name);
  } catch (error) {
    throw inColumn(name, error);
  }
}

function dtypeOfList(given: unknown): Dtype {
  if (!Array.isArray(given)) {
    const hint = "a column is a list, a typed array, or what `column` makes";
    throw new DtypeError(`${shown(given)} is no column`, { hint });
  }
  const seen: Seen = { kinds: new Set(), isAboveInt64: false };
  const isNested = look(given, seen, 0);
  return commonDtype(seen, isNested);
}

/** Looks at every value; tells whether any is inside a record. */
function look(values: readonly unknown[], seen: Seen, depth: number): boolean {
  let isNested = depth > 0;
  for (const value of values) {
    if (value === null || value === undefined) {
      continue;
    }
    if (Array.isArray(value) && depth < MAX_DEPTH) {
      isNested = look(value, seen, depth + 1) || isNested;
    } else {
      seen.kinds.add(dtypeOfValue(value, seen));
      isNested ||= isTypedArray(value) && !(value instanceof Uint8Array);
    }
  }
  return isNested;
}

function dtypeOfValue(value: unknown, seen: Seen): Dtype {
  switch (typeof value) {
    case "number":
      return Number.isInteger(value) && !Object.is(value, -0) ? "INT64" : "FP64";
    case "bigint":
      seen.isAboveInt64 ||= value > MAX_INT64;
      return "INT64";
    case "boolean":
      return "BOOL";
    case "string":
      return "UTF8";
    default:
      return dtypeOfObject(value);
  }
}

function dtypeOfObject(value: unknown): Dtype {
  if (value instanceof Date) {
    return "TIMESTAMP";
  }
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) {
    return "BYTES";
  }
  const dtype = dtypeOfArray(value);
  if (dtype === undefined) {
    const hint =
      "taken are numbers, bigints, strings, booleans, Date, Uint8Array, and lists of these";
    throw new DtypeError(`${shown(value)} has no dtype`, { hint });
  }
  return dtype;
}

const MIXABLE: ReadonlySet<Dtype> = new Set(["INT64", "FP64", "UTF8", "BOOL"]);

function commonDtype({ kinds, isAboveInt64 }: Seen, isNested: boolean): Dtype {
  const [first, ...others] = kinds;
  if (first !== undefined && others.length === 0) {
    return first === "INT64" && isAboveInt64 ? "UINT64" : first;
  }
  const areNumbers = [...kinds].every((kind) => kind === "INT64" || kind === "FP64");
  if (isNested && areNumbers && first !== undefined) {
    return "FP64";
  }
  if (isNested || ![...kinds].every((kind) => MIXABLE.has(kind))) {
    throw new DtypeError(
      `${[...kinds].join(" and ")} have no common dtype; state one by \`column\``,
    );
  }
  return "MIXED";
}

/** The same error, with the column it is about. */
export function inColumn(name: string, error: unknown): unknown {
  if (error instanceof Error && !error.message.startsWith("column ")) {
    error.message = `column '${name}': ${error.message}`;
  }
  return error;
}
