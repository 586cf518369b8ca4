/**
 * The elements of an Arrow array, whatever its layout: values of a dtype, and which are null.
 *
 * Source: Arrow columnar format 1.5, "Physical memory layout".
 */

import type { Data, DataType, Dictionary, Int, Timestamp, Union } from "apache-arrow";
import { ArrowError, DtypeError } from "../errors/kinds.js";
import {
  type Dtype,
  type MixedValue,
  type NumericValues,
  type Unit,
  zerosOf,
} from "../values/dtype.js";
import { halfValue } from "../values/half.js";
import type { Arrow } from "./library.js";

/** What the elements of an array are. */
export interface Kind {
  readonly dtype: Dtype;
  readonly unit?: Unit;
  readonly zone?: string;
}

/** The values of elements: one buffer, or a list. */
export type Elements = NumericValues | readonly unknown[];

const UNITS: readonly Unit[] = ["s", "ms", "us", "ns"];

/** The dtype of a type that is no list. Throws a `DtypeError` for types the protocol does not have. */
export function kindOf(type: DataType, { DataType: Is }: Arrow): Kind {
  if (Is.isTimestamp(type)) {
    const { unit, timezone } = type as Timestamp;
    return { dtype: "TIMESTAMP", unit: UNITS[unit] ?? "us", zone: timezone ?? "" };
  }
  if (Is.isDictionary(type) && isText((type as Dictionary).dictionary, Is)) {
    return { dtype: "UTF8" };
  }
  const dtype = plainDtype(type, Is);
  if (dtype === undefined) {
    throw new DtypeError(`the type of Arrow ${type} is none of the protocol`);
  }
  return { dtype };
}

function plainDtype(type: DataType, Is: Arrow["DataType"]): Dtype | undefined {
  if (Is.isInt(type)) {
    const { isSigned, bitWidth } = type as Int;
    return `${isSigned ? "INT" : "UINT"}${bitWidth}` as Dtype;
  }
  if (Is.isFloat(type)) {
    return (["FP16", "FP32", "FP64"] as const)[type.precision];
  }
  const tests: readonly (readonly [Dtype, boolean])[] = [
    ["BOOL", Is.isBool(type)],
    ["UTF8", isText(type, Is)],
    ["BYTES", Is.isBinary(type) || Is.isLargeBinary(type)],
    ["DATE", Is.isDate(type) && type.unit === 0],
    ["MIXED", Is.isNull(type) || Is.isDenseUnion(type)],
  ];
  return tests.find(([, isIt]) => isIt)?.[0];
}

function isText(type: DataType, Is: Arrow["DataType"]): boolean {
  return Is.isUtf8(type) || Is.isLargeUtf8(type);
}

/** Whether an element is null. */
export function isNullAt(data: Data, at: number): boolean {
  const { nullBitmap } = data;
  if (data.nullCount === 0 || nullBitmap === null || nullBitmap === undefined) {
    return false;
  }
  if (at >> 3 >= nullBitmap.length) {
    throw new RangeError("beyond the validity bits");
  }
  return ((nullBitmap[at >> 3] as number) & (1 << (at & 7))) === 0;
}

/** All elements of an array; what stands in the place of a null does not matter. */
export function elementsOf(data: Data, dtype: Dtype, arrow: Arrow): Elements {
  switch (dtype) {
    case "UTF8":
      return textsOf(data, arrow);
    case "BYTES":
      return bytesOf(data);
    case "MIXED":
      return mixedOf(data, arrow);
    case "BOOL":
      return bitsOf(data);
    case "FP16":
      return Float32Array.from(fixedOf(data) as Uint16Array, halfValue);
    default:
      return fixedOf(data);
  }
}

function fixedOf(data: Data): NumericValues {
  const values = data.values as NumericValues;
  if (values.length < data.length) {
    throw new RangeError("beyond the values");
  }
  return values.subarray(0, data.length);
}

function bitsOf(data: Data): Uint8Array {
  const packed = data.values as Uint8Array;
  if (packed.length * 8 < data.length) {
    throw new RangeError("beyond the bits");
  }
  const values = new Uint8Array(data.length);
  for (let at = 0; at < data.length; at += 1) {
    values[at] = ((packed[at >> 3] as number) >> (at & 7)) & 1;
  }
  return values;
}

/** Where each item begins, and the last ends; checked. */
function offsetsOf(data: Data): number[] {
  if (data.length === 0) {
    return [0];
  }
  const raw = data.valueOffsets as unknown as ArrayLike<number | bigint>;
  const offsets = Array.from(raw, Number).slice(0, data.length + 1);
  const isRising = offsets.every((offset, at) => at === 0 || offset >= (offsets[at - 1] as number));
  const [first = -1, last = -1] = [offsets[0], offsets.at(-1)];
  if (offsets.length <= data.length || !isRising || first < 0 || last > data.values.length) {
    throw new RangeError("offsets lead outside");
  }
  return offsets;
}

function bytesOf(data: Data): Uint8Array[] {
  const offsets = offsetsOf(data);
  const bytes = data.values as Uint8Array;
  return Array.from({ length: data.length }, (_, at) => bytes.slice(offsets[at], offsets[at + 1]));
}

function textsOf(data: Data, arrow: Arrow): readonly (string | null)[] {
  if (arrow.DataType.isDictionary(data.type)) {
    return indexedOf(data, arrow);
  }
  const offsets = offsetsOf(data);
  const bytes = (data.values as Uint8Array).subarray(offsets[0], offsets.at(-1));
  const [first = 0] = offsets;
  const whole = decoded(bytes);
  const text = (at: number) => {
    const [from, to] = [(offsets[at] as number) - first, (offsets[at + 1] as number) - first];
    // ASCII as a whole: a place in bytes is a place in the text.
    return whole.length === bytes.length
      ? whole.slice(from, to)
      : decoded(bytes.subarray(from, to));
  };
  return Array.from({ length: data.length }, (_, at) => (isNullAt(data, at) ? null : text(at)));
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DtypeError("a text is not UTF-8", { cause });
  }
}

function indexedOf(data: Data, arrow: Arrow): (string | null)[] {
  const words = data.dictionary?.data.flatMap((chunk) => [...textsOf(chunk, arrow)]) ?? [];
  const indices = fixedOf(data) as ArrayLike<number | bigint>;
  return Array.from(indices, (index, at) => {
    if (isNullAt(data, at)) {
      return null;
    }
    const word = words[Number(index)];
    if (word === undefined) {
      throw new ArrowError(`the index ${index} leads outside a dictionary of ${words.length}`);
    }
    return word;
  });
}

function mixedOf(data: Data, arrow: Arrow): MixedValue[] {
  if (arrow.DataType.isNull(data.type)) {
    return new Array(data.length).fill(null);
  }
  const children = data.children.map((child) => scalarsOf(child, arrow));
  const { typeIdToChildIndex } = data.type as Union;
  const offsets = data.valueOffsets as Int32Array;
  const codes = data.typeIds as unknown as Int8Array;
  return Array.from({ length: data.length }, (_, at) => {
    const child = children[typeIdToChildIndex[codes[at] as number] as number];
    const value = child?.[offsets[at] as number];
    if (value === undefined) {
      throw new ArrowError(`element ${at} of a union leads outside its children`);
    }
    return value;
  });
}

const KINDS_OF_MIXED: ReadonlySet<Dtype> = new Set(["BOOL", "INT64", "FP64", "UTF8"]);

function scalarsOf(child: Data, arrow: Arrow): MixedValue[] {
  if (arrow.DataType.isNull(child.type)) {
    return new Array(child.length).fill(null);
  }
  const { dtype } = kindOf(child.type, arrow);
  if (!KINDS_OF_MIXED.has(dtype)) {
    throw new DtypeError(`a union of MIXED has no ${dtype}`);
  }
  const values = elementsOf(child, dtype, arrow) as ArrayLike<MixedValue>;
  return Array.from(values, (value, at) => {
    if (isNullAt(child, at)) {
      return null;
    }
    return dtype === "BOOL" ? value === 1 : value;
  });
}

/** Puts the elements of several arrays one after the other. */
export function concatenated(parts: readonly Elements[], dtype: Dtype): Elements {
  const [first, ...others] = parts;
  if (first !== undefined && others.length === 0) {
    return first;
  }
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const values = zerosOf(dtype, count);
  if (values === undefined) {
    return parts.flatMap((part) => [...(part as readonly unknown[])]);
  }
  let at = 0;
  for (const part of parts) {
    (values as Int8Array).set(part as Int8Array, at);
    at += part.length;
  }
  return values;
}
