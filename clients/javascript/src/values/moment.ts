/**
 * Moments and days as text, exactly: ISO 8601 as the protocol has it.
 *
 * - A moment is `YYYY-MM-DDThh:mm:ss`, up to nine digits of a fraction, and `Z`, `+hh:mm` or `-hh:mm`.
 *   What is finer than the unit is cut off towards the past.
 * - Years are 0001 to 9999 of the Gregorian calendar. There are no leap seconds and no hour 24.
 * - Written are UTC with `Z`, and as many digits of a fraction as the unit has.
 *
 * Source: ISO 8601, 5.4.2; RFC 3339, 5.6.
 */

import { DtypeError, InvalidRequestError, ZoneError } from "../errors/kinds.js";
import { UNITS, type Unit } from "./dtype.js";

const MOMENT = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?$/u;
const DAY = /^\d{4}-\d\d-\d\d$/u;
const MS_PER_DAY = 86_400_000;
const NS_PER_SECOND = 1_000_000_000n;
const SECONDS_OF_YEAR_1 = -62_135_596_800n;
const SECONDS_OF_YEAR_10000 = 253_402_300_800n;
const FIRST_DAY = -719_162;
const LAST_DAY = 2_932_896;

/** How many units, and how many digits of a fraction, a second has. */
export function unitOf(unit: string) {
  const known = UNITS.get(unit);
  if (known === undefined) {
    throw new InvalidRequestError(`the unit '${unit}' is none; expected s, ms, us or ns`);
  }
  return known;
}

/** Reads a moment as a whole number of units since 1970-01-01 UTC. */
export function parseMoment(text: string, unit: Unit): bigint {
  const [, day = "", time = "", fraction = "", zone] = MOMENT.exec(text) ?? [];
  const atUtc = day === "" ? Number.NaN : epochMs(`${day}T${time}.000Z`);
  if (Number.isNaN(atUtc)) {
    throw new DtypeError(`'${text}' is no moment; expected YYYY-MM-DDThh:mm:ss and a zone`);
  }
  if (zone === undefined) {
    const hint = "end it with Z, or with an offset such as +01:00";
    throw new ZoneError(`the time '${text}' has no zone`, { hint });
  }
  const seconds = BigInt(atUtc) / 1000n - BigInt(offsetSeconds(zone, text));
  return scaled(seconds, fraction, unit, text);
}

/** Writes a number of units since 1970-01-01 UTC as a moment. */
export function formatMoment(value: bigint, unit: Unit): string {
  const { perSecond, digits } = unitOf(unit);
  const seconds = floorDivide(value, perSecond);
  const text = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  const rest = value - seconds * perSecond;
  return digits === 0 ? `${text}Z` : `${text}.${rest.toString().padStart(digits, "0")}Z`;
}

/** Reads `YYYY-MM-DD` as days since 1970-01-01. */
export function parseDay(text: string): number {
  const ms = DAY.test(text) ? epochMs(`${text}T00:00:00.000Z`) : Number.NaN;
  if (Number.isNaN(ms)) {
    throw new DtypeError(`'${text}' is no day; expected YYYY-MM-DD`);
  }
  return ms / MS_PER_DAY;
}

/** Writes days since 1970-01-01 as `YYYY-MM-DD`. */
export function formatDay(days: number): string {
  return new Date(days * MS_PER_DAY).toISOString().slice(0, 10);
}

/** The units since 1970-01-01 UTC of a `Date`; what is finer than the unit is cut off. */
export function momentOfDate(date: Date, unit: Unit): bigint {
  const ms = date.getTime();
  if (Number.isNaN(ms)) {
    throw new DtypeError("the Date is invalid; expected a moment");
  }
  return floorDivide(BigInt(ms) * unitOf(unit).perSecond, 1000n);
}

/** The `Date` of a number of units: what is finer than a millisecond is cut off towards the past. */
export function dateOfMoment(value: bigint, unit: Unit): Date {
  return new Date(Number(floorDivide(value * 1000n, unitOf(unit).perSecond)));
}

/** Milliseconds since 1970-01-01; NaN for a moment that is not in the calendar. */
function epochMs(text: string): number {
  const ms = Date.parse(text);
  const isReal = !Number.isNaN(ms) && text.slice(0, 4) !== "0000";
  // The parser takes 30 February and hour 24 for the day after: written again they are others.
  return isReal && new Date(ms).toISOString() === text ? ms : Number.NaN;
}

function offsetSeconds(zone: string, text: string): number {
  if (zone === "Z") {
    return 0;
  }
  const [hours, minutes] = [Number(zone.slice(1, 3)), Number(zone.slice(4, 6))];
  if (hours > 23 || minutes > 59) {
    throw new DtypeError(`'${text}' has the offset ${zone}; expected at most 23:59`);
  }
  return (zone.startsWith("-") ? -60 : 60) * (hours * 60 + minutes);
}

function scaled(seconds: bigint, fraction: string, unit: Unit, text: string): bigint {
  checkYears(seconds, `'${text}'`);
  const { perSecond } = unitOf(unit);
  const rest = (BigInt(fraction.padEnd(9, "0")) * perSecond) / NS_PER_SECOND;
  const value = seconds * perSecond + rest;
  if (BigInt.asIntN(64, value) !== value) {
    throw new DtypeError(`'${text}' in ${unit} does not fit 64 bits; take a coarser unit`);
  }
  return value;
}

function checkYears(seconds: bigint, shown: string): void {
  if (seconds < SECONDS_OF_YEAR_1 || seconds >= SECONDS_OF_YEAR_10000) {
    throw new DtypeError(`${shown} lies outside the years 0001 to 9999`);
  }
}

/** Refuses moments outside the years 0001 to 9999. */
export function checkMoments(values: BigInt64Array, unit: Unit): void {
  const { perSecond } = unitOf(unit);
  const [least, end] = [SECONDS_OF_YEAR_1 * perSecond, SECONDS_OF_YEAR_10000 * perSecond];
  const wrong = values.find((value) => value < least || value >= end);
  if (wrong !== undefined) {
    checkYears(floorDivide(wrong, perSecond), `${wrong} ${unit}`);
  }
}

/** Refuses days outside the years 0001 to 9999. */
export function checkDays(values: Int32Array): void {
  const wrong = values.find((days) => days < FIRST_DAY || days > LAST_DAY);
  if (wrong !== undefined) {
    checkYears(BigInt(wrong) * 86_400n, `day ${wrong}`);
  }
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value % by < 0n ? quotient - 1n : quotient;
}
