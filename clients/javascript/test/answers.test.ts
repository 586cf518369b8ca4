/** Answers that can be taken apart, and whose table is wrong: an error of its task alone. */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as arrow from "apache-arrow";
import { loadArrow } from "../src/arrow/encoding.js";
import { AnswerError, Client, ShoalError } from "../src/index.js";

const ENCODING = await loadArrow();
const MAX_NULLS = 2 ** 20;

/** Answers a good task, and one with this table; gives the code of what is wrong with the second. */
async function codeOfWrong(contentType: string, body: string | Uint8Array): Promise<string> {
  const response = new Response(body as BodyInit, { headers: { "content-type": contentType } });
  const encoding = contentType === "application/json" ? "json" : "arrow";
  const client = new Client("http://host", { encoding, fetch: async () => response });
  const task = { model: "m", table: { x: [1] } };
  const results = await client.run([task, task]);
  assert.equal(results.get(0)?.table.rows, 1);
  try {
    results.get(1)?.table.toColumns();
  } catch (error) {
    assert.ok(error instanceof AnswerError && error.cause instanceof ShoalError);
    return error.cause.code;
  }
  assert.fail("it was read");
}

function answerOf(tables: readonly unknown[]): string {
  const answered = { model: "m", version: "1", batch_rows: 1 };
  return JSON.stringify({
    results: tables.map((table, at) => ({ id: String(at), ...answered, table })),
  });
}

function ofJson(column: object): Promise<string> {
  const good = { columns: [{ name: "x", dtype: "INT8", data: [1] }] };
  const wrong = { columns: [{ name: "x", ...column }] };
  return codeOfWrong("application/json", answerOf([good, wrong]));
}

function ofArrow(wrong: Uint8Array): Promise<string> {
  const good = streamOf(new arrow.Table({ x: arrow.vectorFromArray([1]) }));
  const tables = [good, wrong].map((bytes) => ({ text: "", bytes }));
  const frame = answerOf(tables.map(({ bytes }) => ({ arrow: bytes.length })));
  return codeOfWrong(ENCODING.contentType, ENCODING.writeBody(frame, tables));
}

function streamOf(table: arrow.Table): Uint8Array {
  return arrow.tableToIPC(table, "stream");
}

test("a time without a zone is told, in each encoding", async () => {
  const data = ["2021-05-31T10:20:30"];
  assert.equal(await ofJson({ dtype: "TIMESTAMP", data }), "time_without_zone");
  const local = arrow.vectorFromArray([new Date(0)], new arrow.TimestampMillisecond());
  assert.equal(await ofArrow(streamOf(new arrow.Table({ x: local }))), "time_without_zone");
});

test("a text that is not UTF-8 is told, beside others that are", async () => {
  const words = arrow.vectorFromArray(["plain", "käse"], new arrow.Utf8());
  const stream = streamOf(new arrow.Table({ x: words }));
  const place = Buffer.from(stream).indexOf("käse") + 2; // the second byte of ä
  stream[place] = 0x28;
  assert.equal(await ofArrow(stream), "wrong_dtype");
});

test("a text of half a pair of surrogates is told", async () => {
  assert.equal(await ofJson({ dtype: "UTF8", data: ["a\ud800"] }), "wrong_dtype");
});

test("compressed buffers are refused, although the library could read them", async () => {
  const frame = Uint8Array.of(4, 34, 77, 24, 0x60, 0x40, 0x82); // how a frame of LZ4 begins
  arrow.compressionRegistry.set(arrow.CompressionType.LZ4_FRAME, {
    encode: (bytes) => Uint8Array.of(...frame, ...bytes),
    decode: (bytes) => bytes.subarray(frame.length),
  });
  const writer = new arrow.RecordBatchStreamWriter({
    compressionType: arrow.CompressionType.LZ4_FRAME,
  });
  writer.writeAll(new arrow.Table({ x: arrow.vectorFromArray([1, 2]) }));
  assert.equal(await ofArrow(writer.toUint8Array(true)), "invalid_arrow");
});

test("nulls, which take few bytes or none, stand for no more than a million values", async () => {
  const nulls = (length: number) =>
    streamOf(
      new arrow.Table({
        x: new arrow.Vector([arrow.makeData({ type: new arrow.Null(), length })]),
      }),
    );
  assert.equal(await ofArrow(nulls(MAX_NULLS + 1)), "invalid_arrow");
  assert.equal(ENCODING.readTable(nulls(MAX_NULLS)).rows, MAX_NULLS);
  const shape = [2 ** 16];
  const records = (count: number) => new Array(count).fill(null);
  const column = { dtype: "FP32", shape, data: records(17) };
  assert.equal(await ofJson(column), "body_too_large");
});
