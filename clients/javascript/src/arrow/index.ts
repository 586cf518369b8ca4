/** Tables of the package `apache-arrow`, there and back: `shoal-client/arrow`. */

import * as arrow from "apache-arrow";
import type { Table } from "../values/table.js";
import { readStream } from "./read.js";
import { tableStream } from "./write.js";

/**
 * Makes a table of one of Arrow.
 *
 * @throws DtypeError A type is none of the protocol; ZoneError: a timestamp has no zone; NullError: a value
 *   is missing inside a list; DuplicateColumnError: two columns have one name.
 */
export function fromArrow(table: arrow.Table): Table {
  return readStream(arrow.tableToIPC(table, "stream"), arrow);
}

/** Makes a table of Arrow: tensors are `arrow.fixed_shape_tensor`, MIXED is a dense union. */
export function toArrow(table: Table): arrow.Table {
  return arrow.tableFromIPC(tableStream(table, arrow));
}
