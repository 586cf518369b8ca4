/** The stories of `protocol/stories.toml`, each by its name, in Node against a real server. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { parse } from "smol-toml";
import { play, STORIES } from "./all.js";
import { guide, nodeWorld, tlsAndKey } from "./node.js";
import { type StoryServer, startServer } from "./server.js";
import type { World } from "./world.js";

const TOML = new URL("../../../../../protocol/stories.toml", import.meta.url);
const NAMES = Object.keys(parse(readFileSync(TOML, "utf8")));

let server: StoryServer;
let world: World;
let secured: Promise<void>;

before(async () => {
  server = await startServer();
  world = nodeWorld(server.addresses);
  secured = tlsAndKey(world); // beside the others: it has a server of its own
  secured.catch(() => undefined); // told by its test
});

after(() => server.stop());

test("every story is there, and no other", () => {
  assert.deepEqual([...STORIES.keys(), "tls_and_key"].sort(), [...NAMES].sort());
});

for (const name of NAMES) {
  test(name, () => (name === "tls_and_key" ? secured : play(name, world)));
}

test("the code of the guide prints what it says", () => guide(world));
