/** Envelopes in JSON, as a whole. */

import type { Encoding } from "../envelope/encoding.js";
import { parseJson, readTable, tableFromJson } from "./read.js";
import { tableText } from "./write.js";

/** The encoding `application/json`. */
export const JSON_ENCODING: Encoding = {
  contentType: "application/json",
  writeTable: (table) => ({ text: tableText(table) }),
  readTable,
  writeBody: (frame) => frame,
  readBody: (body) => ({ json: parseJson(body), readTable: tableFromJson }),
};
