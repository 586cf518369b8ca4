/* From what is typed into a field to the values that are sent, and what is typed for somebody who only looks.
 *
 * - A whole number that JavaScript does not hold exactly is written as its digits; so are NaN and the infinities, in words.
 * - A list is numbers with spaces, commas or brackets between them; texts are a JSON list. It has the shape of its column.
 * - A value of a column of any type is of the type that it looks like: 7, 2.5, true; anything else is text, and so is "7" in quotes.
 * - What cannot be sent is a `Problem` that says what was expected.
 */

const MADE_UP_LENGTH = 4; // of a dimension that may have any
const NOT_FINITE = ["NaN", "Infinity", "-Infinity"];
const IS_INTEGER = /^[+-]?\d{1,40}$/;
const IS_NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const IS_QUOTED = /^"[^]*"$/;
const MINUTES_LENGTH = "YYYY-MM-DDThh:mm".length;

/** What the user has to know: a sentence; and the code, the hint and more of it where the server said it. */
export class Problem extends Error {
  constructor(message, { code = "", hint = "", more = "" } = {}) {
    super(message);
    Object.assign(this, { code, hint, more });
  }
}

/** "1 value", "2 values", "2 micro-batches". */
export function counted(count, word) {
  const ending = word.endsWith("ch") ? "es" : "s";
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : ending}`;
}

export const product = (numbers) => numbers.reduce((all, one) => all * one, 1);

const quoted = (text) => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);

/** How a field is filled: `boolean`, `integer`, `number`, `text`, `moment`, `mixed` or `list`. */
export function kindOf(field) {
  if (field.shape.length > 0) return "list";
  if (field.is_moment) return "moment";
  if (field.dtype === "MIXED") return "mixed";
  if (field.dtype === "BOOL") return "boolean";
  if (field.dtype === "BYTES") return "text";
  return field.dtype.includes("INT") ? "integer" : "number";
}

/** A field of one value of a list. */
const single = (field) => ({ ...field, shape: [], is_moment: false });

function rangeOf(dtype) {
  const bits = BigInt(dtype.replace(/\D+/, ""));
  return dtype.startsWith("U") ? [0n, 2n ** bits - 1n] : [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
}

function integer(text, { dtype }) {
  if (!IS_INTEGER.test(text)) throw new Problem(`${quoted(text)} is no whole number.`);
  const value = BigInt(text.replace("+", ""));
  const [least, most] = rangeOf(dtype);
  if (value < least || value > most) throw new Problem(`${dtype} holds ${least} to ${most}.`);
  return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
}

function number(text) {
  if (NOT_FINITE.includes(text)) return text;
  if (!IS_NUMBER.test(text)) throw new Problem(`${quoted(text)} is no number. Write 0.5, 1e-3, NaN or -Infinity.`);
  const value = Number(text);
  if (!Number.isFinite(value)) throw new Problem(`${text} is beyond all numbers of double precision.`);
  return value;
}

function boolean(text) {
  if (text !== "true" && text !== "false") throw new Problem(`${quoted(text)} is neither true nor false.`);
  return text === "true";
}

function moment(text) {
  if (!text) throw new Problem("Choose a day and a time.");
  return `${text.length === MINUTES_LENGTH ? `${text}:00` : text}Z`;
}

/** A value of the type that it looks like; in quotes it is text, whatever it looks like. */
function mixed(text) {
  if (text === "true" || text === "false") return boolean(text);
  if (IS_INTEGER.test(text)) {
    const value = integer(text, { dtype: "INT64" });
    return typeof value === "string" ? { INT64: value } : value;
  }
  if (NOT_FINITE.includes(text)) return { FP64: text };
  if (IS_NUMBER.test(text)) return Number.isInteger(number(text)) ? { FP64: number(text) } : number(text);
  return IS_QUOTED.test(text) ? text.slice(1, -1) : text;
}

const SCALARS = { boolean, integer, number, moment, mixed };

function scalar(text, field) {
  const kind = kindOf(field);
  return kind === "text" ? text : SCALARS[kind](text.trim(), field);
}

/** The shape of nested brackets; of what is not nested, nothing. */
function nesting(text) {
  try {
    let level = JSON.parse(text.replace(/"(\\.|[^"\\])*"|[^[\],\s"]+/g, "0"));
    const shape = [];
    for (; Array.isArray(level); level = level[0]) shape.push(level.length);
    return shape;
  } catch (problem) {
    if (problem instanceof SyntaxError) return [];
    throw problem;
  }
}

/** The shape of one record whose values are counted. */
function shapeOf(text, count, field) {
  const open = field.shape.filter((size) => size < 0).length;
  const fixed = product(field.shape.filter((size) => size >= 0));
  const shape = open > 1 ? nesting(text) : field.shape.map((size) => (size < 0 ? count / fixed : size));
  const keeps = (size, at) => Number.isInteger(size) && (field.shape[at] < 0 || field.shape[at] === size);
  if (shape.length === field.shape.length && shape.every(keeps) && product(shape) === count) return shape;
  const nested = open > 1 ? "; write it nested, as [[1, 2], [3, 4]]" : "";
  throw new Problem(`${counted(count, "value")}; a record of this column has ${shapeText(field)}${nested}.`);
}

/** "3 × 32 × 32", "any". */
export const shapeText = ({ shape }) => shape.map((size) => (size < 0 ? "any" : size)).join(" × ");

function textsOf(text) {
  try {
    const values = [JSON.parse(text)].flat(Infinity);
    if (values.every((value) => typeof value === "string")) return values;
  } catch (problem) {
    if (!(problem instanceof SyntaxError)) throw problem;
  }
  throw new Problem('Write texts as a JSON list, such as ["one", "two"].');
}

/** What is typed into a field, as values and the shape of the record. */
export function read(text, field) {
  if (kindOf(field) !== "list") return { values: [scalar(text, field)], shape: [] };
  const words = () => text.split(/[\s,;[\]]+/).filter(Boolean);
  const values = field.dtype === "BYTES" ? textsOf(text) : words().map((word) => scalar(word, single(field)));
  return { values, shape: shapeOf(text, values.length, field) };
}

const MADE_UP = {
  boolean: () => String(Math.random() < 0.5),
  integer: () => String(Math.floor(Math.random() * 10)),
  number: () => (Math.random() * 10).toFixed(2),
  moment: () => new Date().toISOString().slice(0, "YYYY-MM-DDThh:mm:ss".length),
  text: () => "text",
  mixed: () => ["7", "2.5", "text", "true"][Math.floor(Math.random() * 4)],
};

function madeUpList(shape, one) {
  if (shape.length === 0) return one();
  const [size, ...rest] = shape;
  const parts = Array.from({ length: size < 0 ? MADE_UP_LENGTH : size }, () => madeUpList(rest, one));
  return `[${parts.join(", ")}]`;
}

/** What somebody might type. */
export function madeUp(field) {
  const one = MADE_UP[kindOf(single(field))];
  if (kindOf(field) !== "list") return MADE_UP[kindOf(field)]();
  return madeUpList(field.shape, field.dtype === "BYTES" ? () => JSON.stringify(one()) : one);
}

/** One column of a table, from its field and a cell for each record: what was read, or null where it is missing. */
export function column(field, cells) {
  const shape = cells.find((cell) => cell !== null)?.shape ?? field.shape.map(Math.abs);
  if (cells.some((cell) => cell !== null && String(cell.shape) !== String(shape))) {
    throw new Problem("All records of one task have the same shape.");
  }
  const values = (cell) => (cell === null ? Array(product(shape)).fill(null) : cell.values);
  const dtype = field.dtype === "BYTES" ? "UTF8" : field.dtype;
  const type = field.is_moment ? { dtype: "TIMESTAMP", unit: "s", zone: "UTC" } : { dtype };
  return { name: field.name, ...type, ...(shape.length > 0 && { shape }), data: cells.flatMap(values) };
}
