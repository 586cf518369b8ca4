/**
 * A column: values of one dtype, and which records are missing.
 *
 * - Values lie one record after the other: of shape `[2, 3]` each record is six of them, row by row.
 * - What stands in the place of a missing record is zero, or empty.
 * - A column is not changed after it is made; a typed array that is given is kept, not copied.
 */

import { DtypeError } from "../errors/kinds.js";
import type { Dtype, MixedValue, Unit, Value, Values, ValuesOf } from "./dtype.js";
import { dateOfMoment, formatDay } from "./moment.js";

/** What a column is made of. */
export interface ColumnParts {
  readonly name: string;
  /** How many records there are. */
  readonly rows: number;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly values: Values;
  /** One byte for each record, 1 where it is missing; undefined where none is. */
  readonly missing?: Uint8Array | undefined;
  readonly unit?: Unit | undefined;
  readonly zone?: string | undefined;
}

/** Values of one dtype, and which records are missing. Made by `column`, and by `Table.of`. */
export class Column {
  /** What it is called; empty until it is part of a table. */
  readonly name: string;
  readonly dtype: Dtype;
  /** The shape of one record: `[]` is a scalar. */
  readonly shape: readonly number[];
  /** All values, of the kind that the dtype has. */
  readonly values: Values;
  /** One byte for each record, 1 where it is missing; undefined where none is. */
  readonly missing: Uint8Array | undefined;
  /** Of TIMESTAMP: what is counted since 1970-01-01 UTC. */
  readonly unit: Unit | undefined;
  /** Of TIMESTAMP: where it was read off; the moment does not depend on it. */
  readonly zone: string | undefined;
  /** How many records there are. */
  readonly rows: number;
  /** How many values a record has: 1 for a scalar. */
  readonly width: number;

  constructor(parts: ColumnParts) {
    this.name = parts.name;
    this.rows = parts.rows;
    this.dtype = parts.dtype;
    this.shape = parts.shape;
    this.values = parts.values;
    this.missing = parts.missing;
    this.unit = parts.unit;
    this.zone = parts.zone;
    this.width = widthOf(parts.shape);
  }

  /** The values, known to be of this dtype. Throws a `DtypeError` where they are not. */
  as<D extends Dtype>(dtype: D): ValuesOf[D] {
    if (this.dtype !== dtype) {
      throw new DtypeError(`the column is ${this.dtype}, not ${dtype}`);
    }
    return this.values as ValuesOf[D];
  }

  /** Whether the record is missing. */
  isMissing(record: number): boolean {
    return this.missing?.[record] === 1 || (this.dtype === "MIXED" && this.values[record] === null);
  }

  /**
   * One record: null where it is missing; a `Date` (to the millisecond) for a TIMESTAMP, `YYYY-MM-DD`
   * for a DATE, a bigint for 64 bits; all values, flat, for a tensor.
   */
  get(record: number): Value {
    if (record < 0 || record >= this.rows || this.isMissing(record)) {
      return null;
    }
    const { shape, width, values } = this;
    return shape.length === 0
      ? this.#scalar(record)
      : (values.slice(record * width, (record + 1) * width) as Values);
  }

  /** The same column under another name. */
  named(name: string): Column {
    return name === this.name ? this : new Column({ ...this, name });
  }

  /** The same column over values of its own. */
  copy(): Column {
    const isBytes = this.dtype === "BYTES";
    const values = isBytes ? this.as("BYTES").map((value) => value.slice()) : this.values.slice();
    return new Column({ ...this, values: values as Values });
  }

  /** Every record, as `get` gives it. */
  toArray(): Value[] {
    return Array.from({ length: this.rows }, (_, record) => this.get(record));
  }

  #scalar(record: number): Value {
    const value = this.values[record] as Exclude<MixedValue, null>;
    switch (this.dtype) {
      case "BOOL":
        return value === 1;
      case "TIMESTAMP":
        return dateOfMoment(value as bigint, this.unit ?? "us");
      case "DATE":
        return formatDay(value as number);
      default:
        return value;
    }
  }
}

/** How many values a record of this shape has. */
export function widthOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
