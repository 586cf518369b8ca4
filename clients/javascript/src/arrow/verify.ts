/**
 * The metadata of Arrow messages, before a library that takes every length in it on trust.
 *
 * A length or a place that leads outside the message, tables within tables without end, and compressed
 * buffers are refused; what a field says is not looked at.
 *
 * Source: FlatBuffers, "Internals"; Arrow's `Message.fbs` and `Schema.fbs`, whose fields stand here by their
 * places.
 */

import { ArrowError } from "../errors/kinds.js";

/** What a field is: an inline value of so many bytes, a list of such, a text, tables, or a type. */
type Kind =
  | { readonly inline: number }
  | { readonly list: number }
  | { readonly text: true }
  | { readonly table: () => Shape }
  | { readonly typeOf: number }
  | { readonly tables: () => Shape }
  | { readonly refused: string };

/** The fields of a table that are looked at, by their places. */
type Shape = ReadonlyMap<number, Kind>;

const MAX_DEPTH = 64;
const TEXT: Kind = { text: true };
const SCHEMA_HEADER = 1;
const DICTIONARY_HEADER = 2;
const BATCH_HEADER = 3;
const TIMESTAMP_TYPE = 10;
const UNION_TYPE = 14;

const KEY_VALUE: Shape = new Map([
  [0, TEXT],
  [1, TEXT],
]);
const METADATA: Kind = { tables: () => KEY_VALUE };
/** The types that have more than inline values: the zone of a timestamp, the codes of a union. */
const TYPES: ReadonlyMap<number, Shape> = new Map([
  [TIMESTAMP_TYPE, new Map<number, Kind>([[1, TEXT]])],
  [UNION_TYPE, new Map<number, Kind>([[1, { list: 4 }]])],
]);
const PLAIN_TYPE: Shape = new Map<number, Kind>([[0, { inline: 1 }]]);
const FIELD: Shape = new Map<number, Kind>([
  [0, TEXT],
  [2, { inline: 1 }],
  [3, { typeOf: 2 }],
  [4, { table: () => ENCODING }],
  [5, { tables: () => FIELD }],
  [6, METADATA],
]);
const ENCODING: Shape = new Map<number, Kind>([
  [0, { inline: 8 }],
  [1, { table: () => PLAIN_TYPE }],
]);
const SCHEMA: Shape = new Map<number, Kind>([
  [1, { tables: () => FIELD }],
  [2, METADATA],
  [3, { list: 8 }],
]);
const BATCH: Shape = new Map<number, Kind>([
  [0, { inline: 8 }],
  [1, { list: 16 }],
  [2, { list: 16 }],
  [3, { refused: "the buffers are compressed" }],
  [4, { list: 8 }],
]);
const DICTIONARY: Shape = new Map<number, Kind>([
  [0, { inline: 8 }],
  [1, { table: () => BATCH }],
]);
const HEADERS: ReadonlyMap<number, Shape> = new Map([
  [SCHEMA_HEADER, SCHEMA],
  [DICTIONARY_HEADER, DICTIONARY],
  [BATCH_HEADER, BATCH],
]);

/** Checks the metadata of one message. Throws a `RangeError` where it leads outside. */
export function verifyMessage(bytes: Uint8Array): void {
  const verifier = new Verifier(bytes);
  const message = verifier.place(0);
  const header = HEADERS.get(verifier.byteOf(message, 1));
  if (header === undefined) {
    throw new ArrowError("a message is neither a schema nor a batch");
  }
  const shape: Shape = new Map<number, Kind>([
    [2, { table: () => header }],
    [3, { inline: 8 }],
    [4, METADATA],
  ]);
  verifier.table(message, shape, 0);
}

class Verifier {
  readonly #view: DataView;
  /** Tables that share their parts may say more than they have bytes. */
  #left: number;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#left = bytes.byteLength;
  }

  /** Where the offset that stands here leads. */
  place(at: number): number {
    return at + this.#view.getUint32(at, true);
  }

  /** A byte of a table; 0 where it is left out. */
  byteOf(table: number, slot: number): number {
    const field = this.#field(table, slot);
    return field === undefined ? 0 : this.#view.getUint8(field);
  }

  table(at: number, shape: Shape, depth: number): void {
    if (depth > MAX_DEPTH) {
      throw new ArrowError(`the metadata is nested more than ${MAX_DEPTH} deep`);
    }
    this.#spend(4);
    for (const [slot, kind] of shape) {
      const field = this.#field(at, slot);
      if (field !== undefined) {
        this.#check(at, field, kind, depth);
      }
    }
  }

  #check(table: number, field: number, kind: Kind, depth: number): void {
    if ("typeOf" in kind) {
      const shape = TYPES.get(this.byteOf(table, kind.typeOf)) ?? PLAIN_TYPE;
      this.table(this.place(field), shape, depth + 1);
    } else if ("inline" in kind) {
      this.#within(field, kind.inline);
    } else if ("refused" in kind) {
      throw new ArrowError(kind.refused);
    } else if ("table" in kind) {
      this.table(this.place(field), kind.table(), depth + 1);
    } else if ("tables" in kind) {
      const { at, count } = this.#list(field, 4);
      for (let item = 0; item < count; item += 1) {
        this.table(this.place(at + item * 4), kind.tables(), depth + 1);
      }
    } else {
      this.#list(field, "list" in kind ? kind.list : 1);
    }
  }

  /** Where a list begins, and how many items it has. */
  #list(field: number, itemBytes: number): { at: number; count: number } {
    const at = this.place(field);
    const count = this.#view.getUint32(at, true);
    this.#within(at + 4, count * itemBytes);
    this.#spend(count);
    return { at: at + 4, count };
  }

  /** Where a field of a table stands; undefined where it is left out. */
  #field(table: number, slot: number): number | undefined {
    const vtable = table - this.#view.getInt32(table, true);
    const size = this.#view.getUint16(vtable, true);
    const entry = 4 + slot * 2;
    const offset = entry + 2 <= size ? this.#view.getUint16(vtable + entry, true) : 0;
    return offset === 0 ? undefined : table + offset;
  }

  #within(at: number, bytes: number): void {
    if (at < 0 || at + bytes > this.#view.byteLength) {
      throw new RangeError("beyond the message");
    }
  }

  #spend(count: number): void {
    this.#left -= count;
    if (this.#left < 0) {
      throw new ArrowError("the metadata says more than it has bytes for");
    }
  }
}
