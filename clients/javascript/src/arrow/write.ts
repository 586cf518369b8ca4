/**
 * Tables as Arrow IPC streams: one batch, buffers as they lie, no copy where the library takes none.
 *
 * Tensors are `arrow.fixed_shape_tensor` over a list of fixed size; MIXED is a dense union of null, bool,
 * int64, double and utf8, in this order, with the codes 0 to 4.
 *
 * Source: protocol/protocol.md, "In Arrow"; Arrow's canonical extension types.
 */

import type { Data, DataType, Field } from "apache-arrow";
import { type Column, widthOf } from "../values/column.js";
import type { Dtype, MixedValue, NumericValues, Unit } from "../values/dtype.js";
import { halfBits } from "../values/half.js";
import type { Table } from "../values/table.js";
import { joined } from "../wire/transport.js";
import type { Arrow } from "./library.js";

const TENSOR = "arrow.fixed_shape_tensor";
/** The kinds of MIXED, in the order of their codes. */
const KINDS = ["null", "bool", "int64", "double", "utf8"] as const;

/** Writes a table as one stream. */
export function tableStream(table: Table, arrow: Arrow): Uint8Array {
  const fields = table.columns.map((column) => fieldOf(column, arrow));
  const children = table.columns.map((column) => dataOf(column, arrow));
  const type = new arrow.Struct(fields);
  const data = arrow.makeData({ type, length: table.rows, nullCount: 0, children });
  const schema = new arrow.Schema(fields);
  return streamOf(schema, [new arrow.RecordBatch(schema, data)], arrow);
}

/** Writes a stream of no columns and no batches whose schema says something. */
export function headStream(key: string, text: string, arrow: Arrow): Uint8Array {
  return streamOf(new arrow.Schema([], new Map([[key, text]])), [], arrow);
}

type Batches = readonly InstanceType<Arrow["RecordBatch"]>[];

function streamOf(schema: InstanceType<Arrow["Schema"]>, batches: Batches, arrow: Arrow) {
  const writer = new arrow.RecordBatchStreamWriter();
  writer.reset(undefined, schema);
  for (const batch of batches) {
    writer.write(batch);
  }
  writer.finish();
  return writer.toUint8Array(true);
}

function fieldOf({ name, dtype, shape, unit, zone }: Column, arrow: Arrow): Field {
  const type = dtype === "MIXED" ? unionType(arrow) : elementType(dtype, arrow, unit, zone);
  if (shape.length === 0) {
    return new arrow.Field(name, type, true);
  }
  const metadata = new Map([
    ["ARROW:extension:name", TENSOR],
    ["ARROW:extension:metadata", JSON.stringify({ shape })],
  ]);
  return new arrow.Field(name, listType(type, shape, arrow), true, metadata);
}

function listType(type: DataType, shape: readonly number[], arrow: Arrow): DataType {
  return new arrow.FixedSizeList(widthOf(shape), new arrow.Field("item", type, true));
}

function elementType(
  dtype: Dtype,
  arrow: Arrow,
  unit: Unit | undefined,
  zone: string | undefined,
): DataType {
  switch (dtype) {
    case "BOOL":
      return new arrow.Bool();
    case "UTF8":
      return new arrow.Utf8();
    case "BYTES":
      return new arrow.Binary();
    case "DATE":
      return new arrow.DateDay();
    case "TIMESTAMP":
      return timestampType(unit, zone, arrow);
    default:
      return numberType(dtype, arrow);
  }
}

function timestampType(unit: Unit = "us", zone: string | undefined, arrow: Arrow): DataType {
  const kinds = {
    s: arrow.TimestampSecond,
    ms: arrow.TimestampMillisecond,
    us: arrow.TimestampMicrosecond,
    ns: arrow.TimestampNanosecond,
  };
  return new kinds[unit](zone);
}

function numberType(dtype: Dtype, arrow: Arrow): DataType {
  const kinds: Partial<Record<Dtype, new () => DataType>> = {
    INT8: arrow.Int8,
    INT16: arrow.Int16,
    INT32: arrow.Int32,
    INT64: arrow.Int64,
    UINT8: arrow.Uint8,
    UINT16: arrow.Uint16,
    UINT32: arrow.Uint32,
    UINT64: arrow.Uint64,
    FP16: arrow.Float16,
    FP32: arrow.Float32,
  };
  return new (kinds[dtype] ?? arrow.Float64)();
}

function dataOf(column: Column, arrow: Arrow): Data {
  if (column.dtype === "MIXED") {
    return unionData(column.as("MIXED"), arrow);
  }
  const { dtype, shape, unit, zone, rows, width, missing } = column;
  const type = elementType(dtype, arrow, unit, zone);
  if (shape.length === 0) {
    return elementData(column, type, missing, arrow);
  }
  return arrow.makeData({
    type: listType(type, shape, arrow) as InstanceType<Arrow["FixedSizeList"]>,
    length: rows,
    ...validity(missing),
    child: elementData({ ...column, rows: rows * width } as Column, type, undefined, arrow),
  }) as Data;
}

/** All values of a column, as its elements: of a tensor those of all records. */
function elementData(
  { dtype, values, rows: length }: Column,
  type: DataType,
  missing: Uint8Array | undefined,
  arrow: Arrow,
): Data {
  const parts = { length, ...validity(missing) };
  switch (dtype) {
    case "UTF8":
      return arrow.makeData({ type, ...parts, ...texts(values as readonly string[]) } as never);
    case "BYTES":
      return arrow.makeData({ type, ...parts, ...items(values as readonly Uint8Array[]) } as never);
    case "BOOL":
      return arrow.makeData({ type, ...parts, data: bits(values as Uint8Array) } as never);
    case "FP16":
      return arrow.makeData({ type, ...parts, data: halves(values as Float32Array) } as never);
    default:
      return arrow.makeData({ type, ...parts, data: values as NumericValues } as never);
  }
}

function halves(values: Float32Array): Uint16Array {
  return Uint16Array.from(values, halfBits);
}

function validity(missing: Uint8Array | undefined) {
  if (missing === undefined) {
    return { nullCount: 0 };
  }
  const nullCount = missing.reduce((count, isMissing) => count + isMissing, 0);
  return { nullCount, nullBitmap: bits(missing.map((isMissing) => 1 - isMissing)) };
}

/** Bytes of 0 and 1 as bits, the first the lowest; padded to 8 bytes. */
function bits(values: Uint8Array): Uint8Array {
  const packed = new Uint8Array(Math.ceil(values.length / 64) * 8);
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] === 1) {
      packed[at >> 3] = (packed[at >> 3] as number) | (1 << (at & 7));
    }
  }
  return packed;
}

interface Items {
  readonly valueOffsets: Int32Array;
  readonly data: Uint8Array;
}

/** Texts one after the other: in one piece where all are ASCII, whose length is that in bytes. */
function texts(values: readonly string[]): Items {
  const encoder = new TextEncoder();
  const whole = values.join("");
  const data = encoder.encode(whole);
  if (data.length !== whole.length) {
    return items(values.map((value) => encoder.encode(value)));
  }
  return { valueOffsets: offsetsOf(values), data };
}

function items(values: readonly Uint8Array[]): Items {
  return { valueOffsets: offsetsOf(values), data: joined(values) };
}

function offsetsOf(values: readonly { readonly length: number }[]): Int32Array {
  const offsets = new Int32Array(values.length + 1);
  values.forEach((value, at) => {
    offsets[at + 1] = (offsets[at] as number) + value.length;
  });
  return offsets;
}

function unionType(arrow: Arrow): DataType {
  const types = [
    new arrow.Null(),
    new arrow.Bool(),
    new arrow.Int64(),
    new arrow.Float64(),
    new arrow.Utf8(),
  ];
  const fields = types.map((type, code) => new arrow.Field(KINDS[code] ?? "", type, true));
  return new arrow.DenseUnion([0, 1, 2, 3, 4], fields);
}

function unionData(values: readonly MixedValue[], arrow: Arrow): Data {
  const held: MixedValue[][] = KINDS.map(() => []);
  const typeIds = Int8Array.from(values, codeOf);
  const valueOffsets = Int32Array.from(values, (value, at) => {
    return (held[typeIds[at] as number]?.push(value) ?? 0) - 1;
  });
  const [nulls = [], flags = [], integers = [], numbers = [], words = []] = held;
  const children = [
    arrow.makeData({ type: new arrow.Null(), length: nulls.length }),
    child(new arrow.Bool(), flags, { data: bits(Uint8Array.from(flags, Number)) }, arrow),
    child(new arrow.Int64(), integers, { data: BigInt64Array.from(integers as bigint[]) }, arrow),
    child(new arrow.Float64(), numbers, { data: Float64Array.from(numbers as number[]) }, arrow),
    child(new arrow.Utf8(), words, texts(words as string[]), arrow),
  ];
  const type = unionType(arrow) as InstanceType<Arrow["DenseUnion"]>;
  const parts = { type, length: values.length, nullCount: 0, typeIds, valueOffsets, children };
  return arrow.makeData(parts as never);
}

function child(type: DataType, values: readonly MixedValue[], buffers: object, arrow: Arrow): Data {
  return arrow.makeData({ type, length: values.length, nullCount: 0, ...buffers } as never);
}

function codeOf(value: MixedValue): number {
  const codes = { boolean: 1, bigint: 2, number: 3, string: 4 };
  return codes[typeof value as keyof typeof codes] ?? 0;
}
