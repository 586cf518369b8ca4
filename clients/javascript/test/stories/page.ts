/** The stories in a browser: a page that plays one when it is told to. */

import { play } from "./all.js";
import { type Addresses, World } from "./world.js";

/** How many connections a browser opens to one server at most. */
const MAX_CONNECTIONS = 6;

/** Runs a module in the page; what it prints is caught. */
async function runModule(text: string): Promise<string[]> {
  const lines: string[] = [];
  const { log } = console;
  console.log = (line: unknown) => lines.push(String(line));
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  try {
    await import(url);
    return lines;
  } finally {
    console.log = log;
    URL.revokeObjectURL(url);
  }
}

/** What became of each story that has ended: what went wrong, or nothing. */
const outcomes: Record<string, string> = {};

/** Begins to play a story. */
function beginStory(name: string, addresses: Addresses): void {
  void playStory(name, addresses).then((outcome) => {
    outcomes[name] = outcome;
  });
}

async function playStory(name: string, addresses: Addresses): Promise<string> {
  const readme = await (await fetch("/README.md")).text();
  const world = new World(addresses, { readme, maxConnections: MAX_CONNECTIONS, runModule });
  try {
    await play(name, world);
    return "";
  } catch (error) {
    return error instanceof Error ? `${error.stack}` : String(error);
  }
}

Object.assign(globalThis, { beginStory, outcomes });
