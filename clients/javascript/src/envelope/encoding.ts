/**
 * What an encoding does for envelopes: tables into parts, parts into a body, a body into an answer.
 *
 * The frame is JSON in both encodings; they differ in how a table stands in it, and in what surrounds it.
 */

import type { Table } from "../values/table.js";

/** A table as it stands in the frame, and the bytes that follow the frame. */
export interface EncodedTable {
  /** The value of the table's field, as JSON. */
  readonly text: string;
  /** What `text` refers to; undefined where it says everything. */
  readonly bytes?: Uint8Array | undefined;
}

/** An answer whose tables are not read yet. */
export interface Frame {
  /** The object of the answer, parsed. */
  readonly json: unknown;
  /** Reads the table that stands in the frame. */
  readonly readTable: (table: unknown) => Table;
}

/** One of the encodings of the protocol. */
export interface Encoding {
  /** The content type of requests and answers. */
  readonly contentType: string;
  /** Writes one table. */
  writeTable(table: Table): EncodedTable;
  /** Reads one table that is a body by itself. */
  readTable(bytes: Uint8Array): Table;
  /** Puts the frame and the bytes of its tables, in the frame's order, into one body. */
  writeBody(frame: string, tables: readonly EncodedTable[]): Body;
  /** Takes an answer apart. */
  readBody(body: Uint8Array): Frame;
}

/** What is sent. */
export type Body = string | Uint8Array<ArrayBuffer>;
