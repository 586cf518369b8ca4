/**
 * Envelopes in Arrow: a stream that says what follows, and one stream for each table.
 *
 * Source: protocol/protocol.md, "In Arrow".
 */

import type { Body, EncodedTable, Encoding, Frame } from "../envelope/encoding.js";
import { ArrowError } from "../errors/kinds.js";
import { tableFromJson } from "../json/read.js";
import type { Table } from "../values/table.js";
import { joined } from "../wire/transport.js";
import { extentOf } from "./frame.js";
import { type Arrow, loadLibrary } from "./library.js";
import { readHead, readStream } from "./read.js";
import { headStream, tableStream } from "./write.js";

const HEAD = "shoal.tasks";

/** Loads the library, and gives the encoding that needs it. */
export async function loadArrow(): Promise<Encoding> {
  const arrow = await loadLibrary();
  return {
    contentType: "application/vnd.apache.arrow.stream",
    writeTable: (table) => writeTable(table, arrow),
    readTable: (bytes) => readStream(bytes, arrow),
    writeBody: (frame, tables) => writeBody(frame, tables, arrow),
    readBody: (body) => readBody(body, arrow),
  };
}

function writeTable(table: Table, arrow: Arrow): EncodedTable {
  const bytes = tableStream(table, arrow);
  return { text: `{"arrow":${bytes.length}}`, bytes };
}

function writeBody(frame: string, tables: readonly EncodedTable[], arrow: Arrow): Body {
  const streams = tables.map(({ bytes }) => bytes).filter((bytes) => bytes !== undefined);
  return joined([headStream(HEAD, frame, arrow), ...streams]);
}

function readBody(body: Uint8Array, arrow: Arrow): Frame {
  const { end } = extentOf(body);
  const json: unknown = parsed(readHead(body.subarray(0, end), HEAD, arrow));
  const places = new Map<unknown, Uint8Array>();
  let at = end;
  for (const table of tablesOf(json)) {
    const size = sizeOf(table);
    places.set(table, body.subarray(at, at + size));
    at += size;
  }
  if (at !== body.length) {
    throw new ArrowError(
      `the tables have ${at - end} bytes, the body ${body.length - end} for them`,
    );
  }
  const readTable = (table: unknown) => {
    const bytes = places.get(table);
    return bytes === undefined ? tableFromJson(table) : readStream(bytes, arrow);
  };
  return { json, readTable };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ArrowError("the first stream does not hold JSON", { cause });
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** The tables of a frame that stand in streams, in their order. */
function tablesOf(json: unknown): unknown[] {
  const { tables, tasks, results, merged } = fieldsOf(json);
  const holders = [tasks, results].flatMap((list) => (Array.isArray(list) ? list : []));
  const own = [...holders, merged].map((holder) => fieldsOf(holder).table);
  return [...Object.values(fieldsOf(tables)), ...own].filter((table) => "arrow" in fieldsOf(table));
}

function sizeOf(table: unknown): number {
  const { arrow } = fieldsOf(table);
  if (!Number.isSafeInteger(arrow) || (arrow as number) < 0) {
    throw new ArrowError(`the bytes of a table are ${String(arrow)}; expected a whole number`);
  }
  return arrow as number;
}

function fieldsOf(json: unknown): Fields {
  return typeof json === "object" && json !== null ? (json as Fields) : {};
}
