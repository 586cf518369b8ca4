/**
 * Base64 with padding, read strictly: no white space, no other alphabet, no bits left over.
 *
 * Source: RFC 4648, 4 and 3.5.
 */

import { DtypeError } from "../errors/kinds.js";

const PIECE_BYTES = 0x2000; // the arguments of one call are limited
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/u;

/** Writes bytes. */
export function toBase64(bytes: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    binary += String.fromCharCode(...bytes.subarray(at, at + PIECE_BYTES));
  }
  return btoa(binary);
}

/** Reads bytes. */
export function fromBase64(text: string): Uint8Array {
  const binary = BASE64.test(text) ? atob(text) : undefined;
  // Bits left over would be lost: written again the text is another.
  if (binary === undefined || (text.endsWith("=") && btoa(binary) !== text)) {
    throw new DtypeError(`'${text.slice(0, 60)}' is no Base64 with padding`);
  }
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}
