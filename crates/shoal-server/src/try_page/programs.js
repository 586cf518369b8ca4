/* The request of the page as a command and as programs, to be pasted: every text is quoted for the language it stands in.
 *
 * In Python the client of this project asks; `curl` and JavaScript's own `fetch` send the request as it is.
 * A key is never written out: it comes from the variable KEY of the environment.
 */

const PATH = "/v1/tasks";

/** A text as one word of a shell. */
const word = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A value of a column as Python writes it. JSON's texts are Python's too. */
function python(value, dtype) {
  if (value === null) return "None";
  if (Array.isArray(value)) return `[${value.map((one) => python(one, dtype)).join(", ")}]`;
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "object") return Object.entries(value).map(([type, one]) => python(one, type))[0];
  if (dtype === "TIMESTAMP") return `datetime.fromisoformat("${value.replace("Z", "+00:00")}")`;
  if (typeof value === "string" && dtype.startsWith("FP")) return `float("${value}")`;
  if (typeof value === "string" && dtype.includes("INT")) return value;
  return dtype === "FP64" && /^-?\d+$/.test(value) ? `${value}.0` : JSON.stringify(value);
}

/** Flat values as records of a shape. */
function nested(values, shape) {
  if (shape.length === 0) return values;
  const size = shape.reduce((all, one) => all * one, 1);
  const records = Array.from({ length: values.length / size }, (_, at) => values.slice(at * size, (at + 1) * size));
  return records.map((record) => (record.every((value) => value === null) ? null : nested(record, shape.slice(1))));
}

function pythonColumn({ name, dtype, shape = [], data }) {
  const values = python(nested(data, shape), dtype);
  const stated = shape.length > 0 && data.every((value) => value === null) ? `, shape=[${shape.join(", ")}]` : "";
  return `    ${JSON.stringify(name)}: ${dtype === "TIMESTAMP" ? values : `column(${values}, "${dtype}"${stated})`},\n`;
}

function javascript(value) {
  if (Array.isArray(value)) return `[${value.map(javascript).join(", ")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const pairs = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${javascript(one)}`);
  return `{ ${pairs.join(", ")} }`;
}

function asCurl(task, { origin, needsKey }) {
  const key = needsKey ? ' -H "X-API-Key: $KEY"' : "";
  return `curl -s${key} -H 'Content-Type: application/json' ${word(origin + PATH)} -d ${word(JSON.stringify({ tasks: [task] }))}`;
}

function asPython({ model, version, table }, { origin, needsKey }) {
  const hasTime = table.columns.some(({ dtype }) => dtype === "TIMESTAMP");
  const imports = `${needsKey ? "import os\n" : ""}${hasTime ? "from datetime import datetime\n" : ""}`;
  const named = [JSON.stringify(model), "table", ...(version ? [`version=${JSON.stringify(version)}`] : [])];
  const where = [JSON.stringify(origin), ...(needsKey ? ['api_key=os.environ["KEY"]'] : [])];
  return `${imports}${imports && "\n"}from shoal.client import Client, column

table = {
${table.columns.map(pythonColumn).join("")}}
with Client(${where.join(", ")}) as client:
    answer = client.predict(${named.join(", ")})
    print(answer.to_dict())`;
}

function asJavascript(task, { origin, needsKey }) {
  const columns = task.table.columns.map((column) => `  ${javascript(column)},\n`).join("");
  const { table: _, ...rest } = task;
  return `const columns = [
${columns}];
const task = ${javascript(rest).slice(0, -2)}, table: { columns } };
const answer = await fetch(${javascript(origin + PATH)}, {
  method: "POST",
  headers: { "Content-Type": "application/json"${needsKey ? ', "X-API-Key": process.env.KEY' : ""} },
  body: JSON.stringify({ tasks: [task] }),
});
const { results } = await answer.json();
console.log(JSON.stringify(results, null, 1));`;
}

/** By language: a task, where it goes and whether a key is needed, as a program. */
export const PROGRAMS = { curl: asCurl, python: asPython, javascript: asJavascript };
