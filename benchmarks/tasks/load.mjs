/* A process that asks a server in JavaScript, run by the benchmark: `node load.mjs CLIENT PLACE`.
 *
 * CLIENT is the module of the client, PLACE a JSON object: `http` (HOST:PORT) and `rows` (a file of `rows` and `labels`). It
 * prints a line when it is ready, and then one for each line it reads: a job in, what was seen out. All labels are compared with
 * those of the original model; a wrong one ends the process.
 */

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const [, , module, given] = process.argv;
const { Client, column } = await import(pathToFileURL(module));
const place = JSON.parse(given);
const { rows, labels } = JSON.parse(readFileSync(place.rows, "utf-8"));
const arrays = rows.map((row) => Float32Array.from(row));
const server = `http://${place.http}`;
const clients = { on: new Client(server), off: new Client(server, { microBatching: false }) };
const WARM_UP_SHARE = 0.2;

async function label(client, at) {
  const values = column(arrays[at], "FP32", { shape: [arrays[at].length] });
  const answer = await client.predict("digits", { X: values }, { outputs: ["label"] });
  const [found] = answer.column("label").toArray();
  if (Number(found) !== labels[at]) throw new Error(`answered ${found}, expected ${labels[at]}`);
}

/** Each caller asks again as soon as it was answered, and once at least. */
async function repeated(client, callers, seconds) {
  const took = [];
  const start = performance.now();
  const caller = async (number) => {
    for (let begun = start; begun < start + seconds * 1000 || number < callers; number += callers) {
      await label(client, number % arrays.length);
      const ended = performance.now();
      took.push(ended - begun);
      begun = ended;
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, number) => caller(number)));
  const ended = performance.now();
  took.sort((one, other) => one - other);
  return { tasks: took.length, seconds: (ended - start) / 1000, p50_us: took[took.length >> 1] * 1000 };
}

/** One caller, who asks with micro-batching and without in turn; which of both is first changes every time. */
async function inTurn(seconds) {
  const took = { on: [], off: [] };
  const start = performance.now();
  let number = 0;
  for (let ended = start; ended < start + seconds * 1000; number += 1) {
    for (const mode of number % 2 ? ["off", "on"] : ["on", "off"]) {
      const begun = performance.now();
      await label(clients[mode], number % arrays.length);
      ended = performance.now();
      took[mode].push(ended - begun);
    }
  }
  const p50_us = (times) => times.sort((one, other) => one - other)[times.length >> 1] * 1000;
  const spent = (performance.now() - start) / 1000;
  return { tasks: 2 * number, seconds: spent, p50_us: p50_us(took.on), off_p50_us: p50_us(took.off) };
}

function ask({ kind, gather, callers }, seconds) {
  return kind === "alone" ? inTurn(seconds) : repeated(gather ? clients.on : clients.off, callers, seconds);
}

console.log(JSON.stringify({ ready: true }));
for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line);
  await ask(job, job.seconds * WARM_UP_SHARE);
  console.log(JSON.stringify(await ask(job, job.seconds)));
}
