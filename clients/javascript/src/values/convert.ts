/**
 * One value as a user writes it, into what a column of a dtype holds; exactly, or a `DtypeError`.
 *
 * - Integers are numbers without a fraction, or bigints, in the range of the dtype.
 * - FP16 and FP32 are rounded to the nearest, ties to even; a finite number never becomes infinite.
 * - UTF8 has no lone surrogates. BYTES is any view of bytes.
 * - TIMESTAMP is a `Date`, ISO 8601 with a zone, or a bigint of units. DATE is `YYYY-MM-DD`, a `Date`
 *   at midnight UTC, or a number of days.
 * - In MIXED a bigint is INT64 and a number FP64, whatever their value.
 */

import { DtypeError } from "../errors/kinds.js";
import { type Dtype, INTEGER_RANGES, type MixedValue, type Unit } from "./dtype.js";
import { roundToHalf } from "./half.js";
import { momentOfDate, parseDay, parseMoment } from "./moment.js";

/** Gives one value of a column; never called with a missing one. */
export type Convert = (value: unknown) => bigint | number | string | boolean | Uint8Array;

const SHOWN_CHARACTERS = 60;
const MS_PER_DAY = 86_400_000;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** The converter of a dtype. */
export function converterOf(dtype: Dtype, unit: Unit): Convert {
  const range = INTEGER_RANGES.get(dtype);
  if (range !== undefined) {
    const isWide = dtype === "INT64" || dtype === "UINT64";
    return isWide ? wideInteger(dtype, range) : narrowInteger(dtype, range);
  }
  switch (dtype) {
    case "BOOL":
      return (value) => (typeof value === "boolean" ? Number(value) : refuse(value, dtype));
    case "FP16":
      return (value) => floating(value, dtype, roundToHalf);
    case "FP32":
      return (value) => floating(value, dtype, Math.fround);
    case "FP64":
      return (value) => floating(value, dtype, (number) => number);
    case "UTF8":
      return text;
    case "BYTES":
      return bytes;
    case "TIMESTAMP":
      return (value) => moment(value, unit);
    case "DATE":
      return day;
    default:
      return mixed;
  }
}

/** Text without lone surrogates, which UTF-8 cannot say. */
export function text(value: unknown): string {
  if (typeof value !== "string") {
    return refuse(value, "UTF8");
  }
  if (LONE_SURROGATE.test(value)) {
    throw new DtypeError(`the text ${shown(value)} has a lone surrogate, which UTF-8 cannot say`);
  }
  return value;
}

/** A value as an error shows it. */
export function shown(value: unknown): string {
  const written = typeof value === "string" ? JSON.stringify(value) : describe(value);
  return written.length > SHOWN_CHARACTERS ? `${written.slice(0, SHOWN_CHARACTERS)}...` : written;
}

function describe(value: unknown): string {
  const isObject = typeof value === "object" && value !== null;
  return isObject ? `a ${value.constructor?.name ?? "object"}` : String(value);
}

function refuse(value: unknown, dtype: Dtype): never {
  throw new DtypeError(`${shown(value)} is no ${dtype}`);
}

type Range = readonly [bigint, bigint];

function narrowInteger(dtype: Dtype, range: Range): Convert {
  const [least, greatest] = [Number(range[0]), Number(range[1])];
  return (value) => {
    const number = typeof value === "bigint" ? Number(value) : value;
    const isIn = Number.isInteger(number) && (number as number) >= least;
    return isIn && (number as number) <= greatest ? (number as number) : refuse(value, dtype);
  };
}

function wideInteger(dtype: Dtype, [least, greatest]: Range): Convert {
  return (value) => {
    const isExact = typeof value === "bigint" || Number.isSafeInteger(value);
    const integer = isExact ? BigInt(value as bigint | number) : undefined;
    if (integer === undefined || integer < least || integer > greatest) {
      return typeof value === "number" && Number.isInteger(value)
        ? refuseUnsafe(value, dtype)
        : refuse(value, dtype);
    }
    return integer;
  };
}

function refuseUnsafe(value: number, dtype: Dtype): never {
  const hint = "give it as a bigint";
  throw new DtypeError(`${value} is no ${dtype}: a number is exact to 2^53 - 1`, { hint });
}

function floating(value: unknown, dtype: Dtype, round: (value: number) => number): number {
  if (typeof value !== "number") {
    return refuse(value, dtype);
  }
  const rounded = round(value);
  if (Number.isFinite(value) && !Number.isFinite(rounded)) {
    throw new DtypeError(`${value} is too large for ${dtype}`);
  }
  return rounded;
}

function bytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) {
    return value;
  }
  if (value instanceof ArrayBuffer) {
    return new Uint8Array(value);
  }
  return refuse(value, "BYTES");
}

function moment(value: unknown, unit: Unit): bigint {
  if (typeof value === "string") {
    return parseMoment(value, unit);
  }
  if (value instanceof Date) {
    return momentOfDate(value, unit);
  }
  const isWhole = typeof value === "bigint" && BigInt.asIntN(64, value) === value;
  return isWhole ? value : refuse(value, "TIMESTAMP");
}

function day(value: unknown): number {
  if (typeof value === "string") {
    return parseDay(value);
  }
  const days = value instanceof Date ? value.getTime() / MS_PER_DAY : value;
  const isDay = Number.isInteger(days) && ((days as number) | 0) === days;
  return isDay ? (days as number) : refuse(value, "DATE");
}

function mixed(value: unknown): Exclude<MixedValue, null> {
  switch (typeof value) {
    case "number":
    case "boolean":
      return value;
    case "string":
      return text(value);
    case "bigint":
      return BigInt.asIntN(64, value) === value ? value : refuse(value, "MIXED");
    default:
      return refuse(value, "MIXED");
  }
}
