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
  type Values,
  zerosOf,
} from "../values/dtype.js";
import { halfValue } from "../values/half.js";
import { joined } from "../wire/transport.js";
import type { Arrow } from "./library.js";

/** What the elements of an array are. */
export interface Kind {
  readonly dtype: Dtype;
  readonly unit?: Unit;
  readonly zone?: string;
}

const MAX_NULLS = 2 ** 20;
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

/** One byte for each element, 1 where it or its word in a dictionary is null; undefined where none is. */
export function maskOf(data: Data): Uint8Array | undefined {
  const own = validityOf(data);
  const words = joinedMask(data.dictionary?.data ?? []);
  if (words === undefined) {
    return own;
  }
  const indices = fixedOf(data) as ArrayLike<number | bigint>;
  return Uint8Array.from(indices, (index, at) => own?.[at] || words[Number(index)] || 0);
}

/** Which elements are null in several arrays; undefined where none is. */
export function joinedMask(chunks: readonly Data[]): Uint8Array | undefined {
  const masks = chunks.map(maskOf);
  if (masks.every((mask) => mask === undefined)) {
    return undefined;
  }
  return joined(masks.map((mask, at) => mask ?? new Uint8Array(chunks[at]?.length ?? 0)));
}

function validityOf({ nullBitmap, nullCount, length }: Data): Uint8Array | undefined {
  if (nullCount === 0 || nullBitmap === null || nullBitmap === undefined) {
    return undefined;
  }
  if (nullBitmap.length * 8 < length) {
    throw new RangeError("beyond the validity bits");
  }
  const mask = new Uint8Array(length);
  for (let at = 0; at < length; at += 1) {
    mask[at] = (((nullBitmap[at >> 3] as number) >> (at & 7)) & 1) ^ 1;
  }
  return mask;
}

/** All elements of an array; what stands in the place of a null does not matter. */
export function elementsOf(data: Data, dtype: Dtype, arrow: Arrow): Values {
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
function offsetsOf(data: Data): ArrayLike<number> {
  if (data.length === 0) {
    return [0];
  }
  const raw = data.valueOffsets as unknown as Int32Array | BigInt64Array;
  const offsets = raw instanceof Int32Array ? raw : Float64Array.from(raw, Number);
  if (offsets.length <= data.length || (offsets[0] as number) < 0) {
    throw new RangeError("offsets lead outside");
  }
  for (let at = 0; at < data.length; at += 1) {
    if ((offsets[at] as number) > (offsets[at + 1] as number)) {
      throw new RangeError("offsets go back");
    }
  }
  if ((offsets[data.length] as number) > data.values.length) {
    throw new RangeError("offsets lead outside");
  }
  return offsets;
}

function bytesOf(data: Data): Uint8Array[] {
  const offsets = offsetsOf(data);
  const bytes = data.values as Uint8Array;
  const items: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += 1) {
    items.push(bytes.slice(offsets[at], offsets[at + 1]));
  }
  return items;
}

/** Texts; empty where one is null, whatever bytes stand there. */
function textsOf(data: Data, arrow: Arrow): string[] {
  if (arrow.DataType.isDictionary(data.type)) {
    return indexedOf(data, arrow);
  }
  const offsets = offsetsOf(data);
  const bytes = data.values as Uint8Array;
  const [first = 0, mask] = [offsets[0], maskOf(data)];
  const ascii = asciiOf(bytes.subarray(first, offsets[data.length]));
  const texts: string[] = [];
  for (let at = 0; at < data.length; at += 1) {
    const [from, to] = [offsets[at] as number, offsets[at + 1] as number];
    const text = () =>
      ascii === undefined
        ? decoded(bytes.subarray(from, to))
        : ascii.slice(from - first, to - first);
    texts.push(mask?.[at] === 1 ? "" : text());
  }
  return texts;
}

/** Bytes as one text where all are ASCII: a place among the bytes is one in the text. */
function asciiOf(bytes: Uint8Array): string | undefined {
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
  return text.length === bytes.length && !text.includes("\ufffd") ? text : undefined;
}

function decoded(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new DtypeError("a text is not UTF-8", { cause });
  }
}

function indexedOf(data: Data, arrow: Arrow): string[] {
  const words = data.dictionary?.data.flatMap((chunk) => textsOf(chunk, arrow)) ?? [];
  const indices = fixedOf(data);
  const mask = maskOf(data);
  return Array.from(indices as ArrayLike<number | bigint>, (index, at) => {
    const word = mask?.[at] === 1 ? "" : words[Number(index)];
    if (word === undefined) {
      throw new ArrowError(`the index ${index} leads outside a dictionary of ${words.length}`);
    }
    return word;
  });
}

function mixedOf(data: Data, arrow: Arrow): MixedValue[] {
  if (arrow.DataType.isNull(data.type)) {
    return nullsOf(data);
  }
  const codes = data.typeIds as unknown as Int8Array;
  const offsets = data.valueOffsets as Int32Array;
  if (codes.length < data.length || offsets.length < data.length) {
    throw new RangeError("beyond the codes of a union");
  }
  const children = data.children.map((child) => scalarsOf(child, arrow));
  const { typeIdToChildIndex } = data.type as Union;
  return Array.from({ length: data.length }, (_, at) => {
    const child = children[typeIdToChildIndex[codes[at] as number] as number];
    const value = child?.[offsets[at] as number];
    if (value === undefined) {
      throw new ArrowError(`element ${at} of a union leads outside its children`);
    }
    return value;
  });
}

/** Nulls take no bytes: a short stream cannot announce a large table. */
function nullsOf({ length }: Data): null[] {
  if (length > MAX_NULLS) {
    throw new ArrowError(`there are ${length} nulls; expected at most ${MAX_NULLS}`);
  }
  return new Array(length).fill(null);
}

const KINDS_OF_MIXED: ReadonlySet<Dtype> = new Set(["BOOL", "INT64", "FP64", "UTF8"]);

function scalarsOf(child: Data, arrow: Arrow): MixedValue[] {
  if (arrow.DataType.isNull(child.type)) {
    return nullsOf(child);
  }
  const { dtype } = kindOf(child.type, arrow);
  if (!KINDS_OF_MIXED.has(dtype)) {
    throw new DtypeError(`a union of MIXED has no ${dtype}`);
  }
  const values = elementsOf(child, dtype, arrow) as ArrayLike<MixedValue>;
  const mask = maskOf(child);
  return Array.from(values, (value, at) => {
    if (mask?.[at] === 1) {
      return null;
    }
    return dtype === "BOOL" ? value === 1 : value;
  });
}

/** Puts the elements of several arrays one after the other. */
export function concatenated(parts: readonly Values[], dtype: Dtype): Values {
  const [first, ...others] = parts;
  if (first !== undefined && others.length === 0) {
    return first;
  }
  const count = parts.reduce((sum, part) => sum + part.length, 0);
  const values = zerosOf(dtype, count);
  if (values === undefined) {
    return parts.flatMap((part) => [...(part as readonly string[])]);
  }
  let at = 0;
  for (const part of parts) {
    (values as Int8Array).set(part as Int8Array, at);
    at += part.length;
  }
  return values;
}
