/* The request of the page as a command and as programs, to be pasted: every text is quoted for the language it stands in.
 *
 * A key is never written out: it comes from the variable KEY of the environment.
 */

const PATH = "/v1/tasks";

/** A text as one word of a shell. */
const word = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** A value as Python writes it. JSON's texts are Python's too. */
function python(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(python).join(", ")}]`;
  if (typeof value !== "object") return JSON.stringify(value);
  const pairs = Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${python(one)}`);
  return `{${pairs.join(", ")}}`;
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

function asPython(task, { origin, needsKey }) {
  const columns = task.table.columns.map((column) => `    ${python(column)},\n`).join("");
  const { table: _, ...rest } = task;
  return `import json
${needsKey ? "import os\n" : ""}import urllib.request

columns = [
${columns}]
task = ${python(rest).slice(0, -1)}, "table": {"columns": columns}}
request = urllib.request.Request(
    ${python(origin + PATH)},
    json.dumps({"tasks": [task]}).encode(),
    {"Content-Type": "application/json"${needsKey ? ', "X-API-Key": os.environ["KEY"]' : ""}},
)
with urllib.request.urlopen(request) as answer:
    print(json.load(answer)["results"])`;
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
