/** The client of Shoal servers: what is public. */

export {
  Client,
  type ClientOptions,
  type PredictOptions,
  type RunOptions,
  type StreamOptions,
} from "./client.js";
export { Merged, Result, Results } from "./envelope/result.js";
export type { Merge, Task, TaskOptions } from "./envelope/task.js";
export { type ErrorDetails, ShoalError } from "./errors/error.js";
export * from "./errors/kinds.js";
export { type ColumnOptions, type ColumnValues, column } from "./values/build.js";
export { Column } from "./values/column.js";
export type { Dtype, MixedValue, Unit, Value, Values, ValuesOf } from "./values/dtype.js";
export type { ColumnLike } from "./values/infer.js";
export { type RecordLike, Table, type TableLike } from "./values/table.js";
