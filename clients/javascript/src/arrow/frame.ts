/**
 * Where Arrow IPC streams end: one after the other in a body, each with its end-of-stream marker.
 *
 * Source: Arrow columnar format 1.5, "Encapsulated message format" and "IPC streaming format"; the message
 * is a FlatBuffers table (`Message.fbs`), of which `bodyLength` is the fourth field.
 */

import { ArrowError } from "../errors/kinds.js";
import { verifyMessage } from "./verify.js";

const CONTINUATION = 0xffffffff;
const BODY_LENGTH_SLOT = 4 + 2 * 3; // after the two sizes of a vtable, the fourth of its fields

/** Where a stream ends, and of how many messages it is. */
export interface Extent {
  readonly end: number;
  readonly messages: number;
}

/** Finds the end of the stream that begins here. Throws an `ArrowError` where it has none. */
export function extentOf(bytes: Uint8Array, from = 0): Extent {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    let at = from;
    for (let messages = 0; ; messages += 1) {
      if (view.getUint32(at, true) !== CONTINUATION) {
        throw new ArrowError(`no message of Arrow begins at byte ${at}`);
      }
      const length = view.getInt32(at + 4, true);
      if (length === 0) {
        return { end: at + 8, messages };
      }
      const bodyBytes = bodyLength(view, at + 8, length);
      verifyMessage(bytes.subarray(at + 8, at + 8 + length));
      at += 8 + length + bodyBytes;
    }
  } catch (cause) {
    if (cause instanceof RangeError) {
      throw new ArrowError("the stream is cut short, or leads outside itself", { cause });
    }
    throw cause;
  }
}

/** How many bytes follow the metadata of a message; a `RangeError` where it is cut short. */
function bodyLength(view: DataView, at: number, length: number): number {
  const table = at + view.getUint32(at, true);
  const vtable = table - view.getInt32(table, true);
  const hasField = view.getUint16(vtable, true) > BODY_LENGTH_SLOT;
  const field = hasField ? view.getUint16(vtable + BODY_LENGTH_SLOT, true) : 0;
  const body = field === 0 ? 0 : Number(view.getBigInt64(table + field, true));
  if (length < 0 || body < 0 || at + length + body > view.byteLength) {
    throw new RangeError("beyond the end");
  }
  return body;
}
