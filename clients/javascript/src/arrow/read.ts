/**
 * Arrow IPC streams as tables: the batches of a stream are one table, and nothing is taken on trust.
 *
 * - A null is a missing record, also one in a dictionary or in a child of a union. One inside a list is
 *   refused: only whole records can be missing.
 * - Lengths, offsets, indices and codes that lead outside are `invalid_arrow`, types that the protocol does
 *   not have `wrong_dtype`.
 *
 * Source: protocol/protocol.md, "In Arrow"; Arrow columnar format 1.5, "Physical memory layout".
 */

import type { Data, DataType, Field, FixedSizeList } from "apache-arrow";
import { ShoalError } from "../errors/error.js";
import { ArrowError, DtypeError, NullError } from "../errors/kinds.js";
import { columnOfValues } from "../values/build.js";
import { type Column, widthOf } from "../values/column.js";
import { inColumn } from "../values/infer.js";
import { Table } from "../values/table.js";
import { concatenated, elementsOf, joinedMask, type Kind, kindOf, maskOf } from "./elements.js";
import { extentOf } from "./frame.js";
import type { Arrow } from "./library.js";

/** Reads the bytes of one stream, from its schema to its marker. */
export function readStream(bytes: Uint8Array, arrow: Arrow): Table {
  if (extentOf(bytes).end !== bytes.length) {
    throw new ArrowError("there are bytes after the end of the stream");
  }
  const { schema, batches } = batchesOf(bytes, arrow);
  const rows = batches.reduce((sum, { numRows }) => sum + numRows, 0);
  const columns = schema.fields.map((field, at) => {
    const chunks = batches.map(({ data }) => data.children[at]);
    return columnOf(
      field,
      chunks.filter((chunk) => chunk !== undefined),
      arrow,
    );
  });
  return new Table(columns, rows);
}

/** The entry of metadata that a stream of no columns and no batches has. */
export function readHead(bytes: Uint8Array, key: string, arrow: Arrow): string {
  const { messages } = extentOf(bytes);
  const { schema } = batchesOf(bytes, arrow);
  const text = schema.metadata.get(key);
  if (text === undefined || schema.fields.length > 0 || messages > 1) {
    throw new ArrowError(`the first stream has to say '${key}', and nothing else`);
  }
  return text;
}

function batchesOf(bytes: Uint8Array, arrow: Arrow) {
  try {
    // A copy lies at the start of its buffer, where 64 bits can be read.
    const reader = arrow.RecordBatchReader.from(bytes.slice()).open();
    const { schema } = reader; // the reader forgets it when it has read all
    if (schema === undefined) {
      throw new ArrowError("there is no schema");
    }
    return { schema, batches: [...reader] };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ArrowError(`the bytes are no stream of Arrow: ${why}`, { cause });
  }
}

/** The library gives no name for an empty one. */
function nameOf({ name }: Field): string {
  return name ?? "";
}

function columnOf(field: Field, chunks: readonly Data[], arrow: Arrow): Column {
  try {
    return readColumn(field, chunks, arrow);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) {
      throw new ArrowError(`column '${nameOf(field)}' leads outside its buffers`, { cause: error });
    }
    throw error instanceof ShoalError ? inColumn(nameOf(field), error) : error;
  }
}

/** What a field is: the kind of its elements, and the shape of one record. */
interface Layout {
  readonly kind: Kind;
  readonly shape: readonly number[];
}

function readColumn(field: Field, chunks: readonly Data[], arrow: Arrow): Column {
  const { kind, shape } = layoutOf(field, arrow);
  const { dtype, ...ofTime } = kind;
  const missing = dtype === "MIXED" ? undefined : joinedMask(chunks);
  const parts = chunks.map((chunk) => elementsOf(innerOf(chunk, arrow), dtype, arrow));
  const rows = chunks.reduce((sum, { length }) => sum + length, 0);
  const options = { shape, missing, ...ofTime };
  return columnOfValues(concatenated(parts, dtype), dtype, rows, options).named(nameOf(field));
}

function layoutOf(field: Field, arrow: Arrow): Layout {
  const sizes: number[] = [];
  let type: DataType = field.type;
  while (arrow.DataType.isFixedSizeList(type)) {
    sizes.push(type.listSize);
    type = (type as FixedSizeList).children[0]?.type as DataType;
  }
  const shape = shapeOfTensor(field.metadata, sizes);
  return { kind: kindOf(type, arrow), shape };
}

/** The shape that the extension of tensors says; without it the sizes of the lists. */
function shapeOfTensor(metadata: ReadonlyMap<string, string>, sizes: number[]): readonly number[] {
  if (metadata.get("ARROW:extension:name") !== "arrow.fixed_shape_tensor") {
    return sizes;
  }
  const { shape, permutation } = parsed(metadata.get("ARROW:extension:metadata"));
  if (permutation?.some((axis, at) => axis !== at)) {
    throw new DtypeError("a tensor is turned about by its permutation");
  }
  if (!Array.isArray(shape) || widthOf(shape) !== widthOf(sizes)) {
    throw new ArrowError("the shape of a tensor does not fill its lists");
  }
  return shape;
}

function parsed(text = ""): { shape?: number[]; permutation?: number[] } {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ArrowError("the metadata of a tensor is no JSON", { cause });
  }
}

/** The array of elements inside lists; in a record that is there, none of them is null. */
function innerOf(data: Data, arrow: Arrow): Data {
  if (!arrow.DataType.isFixedSizeList(data.type)) {
    return data;
  }
  const { listSize } = data.type;
  const child = data.children[0] as Data;
  const length = data.length * listSize;
  if (child.length < length) {
    throw new RangeError("beyond the elements of lists");
  }
  const inner = maskOf(child);
  const outer = maskOf(data);
  if (
    inner?.subarray(0, length).some((isNull, at) => isNull > (outer?.[(at / listSize) | 0] ?? 0))
  ) {
    throw new NullError("a value inside a record is missing; only whole records can be");
  }
  return innerOf(child.length === length ? child : child.slice(0, length), arrow);
}
