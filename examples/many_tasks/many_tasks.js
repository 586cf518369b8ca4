/**
 * Many tasks in one request, from JavaScript: `node many_tasks.js http://127.0.0.1:8000`.
 *
 * Different models, different types of data, one envelope; each task has its own answer, or its own error.
 */

import { Client } from "shoal-client";

const client = new Client(process.argv[2] ?? "http://127.0.0.1:8000");

const fruit = { grams: [9, 150], length_cm: [2.1, 8.5] };
const tasks = [
  { id: "fruit", model: "fruit", table: fruit, outputs: ["label"] },
  { id: "price", model: "price", table: fruit, outputs: ["label"] },
  { id: "words", model: "words", table: "said" },
  { id: "mixed", model: "anything", table: { value: ["käse", 3, 2.5, "🐟"] } },
  { id: "half a fruit", model: "fruit", table: { grams: [9] } },
];
const results = await client.run(tasks, { tables: { said: { word: ["shoal", "a"] } } });
for (const { id, error, batchRows } of results) {
  const said = error?.code ?? JSON.stringify(results.get(id).table.toRecords(), written);
  console.log(`${id}: ${said}${error ? "" : `, in a micro-batch of ${batchRows}`}`);
}

// Calls that are made at once travel together, too.
const words = ["one", "three", "seven"];
const asked = words.map((word) => client.predict("words", { word: [word] }));
const letters = (await Promise.all(asked)).map((table) => table.column("letters").get(0));
console.log(`letters: ${letters.join(" ")}`);

// Results as they are ready, and joined by the server.
for await (const { id, table } of client.stream([{ id: "later", model: "halves", table: { number: [5] } }])) {
  console.log(`${id}: ${table.column("half").get(0)}`);
}
const numbers = [1, 2, 6].map((number) => ({ model: "halves", table: { number: [number] } }));
const { merged } = await client.run(numbers, { merge: "mean" });
console.log(`mean: ${merged.table.column("half").get(0)}`);

/** JSON has no bigint. */
function written(_, value) {
  return typeof value === "bigint" ? Number(value) : value;
}
