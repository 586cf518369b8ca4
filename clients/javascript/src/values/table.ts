/**
 * Tables: columns of equally many records, made of whatever a caller has.
 *
 * | given | |
 * |---|---|
 * | `Table` | itself |
 * | an object of columns | lists, typed arrays, `column(...)`; see `infer.ts` for what lists become |
 * | a list of objects | one record each; a name that one lacks is missing there |
 */

import {
  DtypeError,
  DuplicateColumnError,
  ShapeError,
  UnexpectedColumnError,
} from "../errors/kinds.js";
import type { Column } from "./column.js";
import { shown, text } from "./convert.js";
import type { Value } from "./dtype.js";
import { type ColumnLike, columnFrom } from "./infer.js";

/** What a table may be given as. */
export type TableLike = Table | Readonly<Record<string, ColumnLike>> | readonly RecordLike[];

/** One record: from name to value. */
export type RecordLike = Readonly<Record<string, unknown>>;

/** Columns that all have the same number of records. */
export class Table {
  /** The columns, in order. */
  readonly columns: readonly Column[];
  /** How many records there are. */
  readonly rows: number;
  readonly #byName: ReadonlyMap<string, Column>;

  /**
   * Makes a table of columns that have names; `rows` is needed only where there are none.
   *
   * @throws DuplicateColumnError Two columns have one name; ShapeError: they differ in records.
   */
  constructor(columns: readonly Column[], rows: number = columns[0]?.rows ?? 0) {
    this.columns = columns;
    this.rows = rows;
    this.#byName = new Map(columns.map((column) => [text(column.name), column]));
    if (this.#byName.size < columns.length) {
      throw new DuplicateColumnError(`two columns have one name: ${this.names.join(", ")}`);
    }
    for (const column of columns) {
      if (column.rows !== rows) {
        const found = `column '${column.name}' has ${column.rows} records`;
        throw new ShapeError(`${found}; expected ${rows}, like the others`);
      }
    }
  }

  /** Makes a table of anything that the page of this module lists. */
  static of(given: TableLike): Table {
    if (given instanceof Table) {
      return given;
    }
    if (Array.isArray(given)) {
      return ofRecords(given);
    }
    if (typeof given !== "object" || given === null) {
      const hint = "a table is an object of columns, or a list of objects";
      throw new DtypeError(`${shown(given)} is no table`, { hint });
    }
    const columns = Object.entries(given as Record<string, ColumnLike>);
    return new Table(columns.map(([name, values]) => columnFrom(name, values)));
  }

  /** The names of the columns, in order. */
  get names(): string[] {
    return this.columns.map((column) => column.name);
  }

  /** The column of this name. Throws an `UnexpectedColumnError` where there is none. */
  column(name: string): Column {
    const column = this.#byName.get(name);
    if (column === undefined) {
      const hint = `the columns are: ${this.names.join(", ")}`;
      throw new UnexpectedColumnError(`there is no column '${name}'`, { hint });
    }
    return column;
  }

  /** The same table over values of its own. */
  copy(): Table {
    return new Table(
      this.columns.map((column) => column.copy()),
      this.rows,
    );
  }

  /** Each column as a list, see `Column.toArray`. */
  toColumns(): Record<string, Value[]> {
    return Object.fromEntries(this.columns.map((column) => [column.name, column.toArray()]));
  }

  /** One object for each record, see `Column.get`. */
  toRecords(): Record<string, Value>[] {
    return Array.from({ length: this.rows }, (_, row) => this.#record(row));
  }

  /** The records one by one, as `toRecords` gives them. */
  *[Symbol.iterator](): IterableIterator<Record<string, Value>> {
    for (let row = 0; row < this.rows; row += 1) {
      yield this.#record(row);
    }
  }

  #record(row: number): Record<string, Value> {
    return Object.fromEntries(this.columns.map((column) => [column.name, column.get(row)]));
  }
}

function ofRecords(records: readonly unknown[]): Table {
  const names = new Set<string>();
  records.forEach((record, row) => {
    if (typeof record !== "object" || record === null || Array.isArray(record)) {
      throw new DtypeError(`record ${row} is ${shown(record)}; expected an object by column name`);
    }
    for (const name of Object.keys(record)) {
      names.add(name);
    }
  });
  const values = (name: string) => records.map((record) => (record as RecordLike)[name]);
  const columns = [...names].map((name) => columnFrom(name, values(name)));
  return new Table(columns, records.length);
}
