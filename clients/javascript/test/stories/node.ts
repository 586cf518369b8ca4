/** What only Node can do for a story: run a module, and trust an authority of its own. */

import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { holds, type Story, same, World } from "./world.js";

const CLIENT = fileURLToPath(new URL("../../../", import.meta.url));
const INDEX = new URL("../../src/index.js", import.meta.url).href;

const run = promisify(execFile);

/** Runs a module in a process of its own, inside the package, so that it finds it by its name. */
async function runModule(text: string, environment: NodeJS.ProcessEnv = {}): Promise<string[]> {
  const folder = mkdtempSync(join(CLIENT, "build", "module-"));
  const path = join(folder, "module.mjs");
  writeFileSync(path, text);
  try {
    const env = { ...process.env, ...environment };
    const { stdout } = await run(process.execPath, [path], { env });
    return stdout.trimEnd().split("\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The world as Node sees it. */
export function nodeWorld(addresses: ConstructorParameters<typeof World>[0]): World {
  const readme = readFileSync(join(CLIENT, "README.md"), "utf8");
  return new World(addresses, { readme, maxConnections: 1, runModule: (text) => runModule(text) });
}

interface Secure {
  readonly http: string;
  readonly authority: string;
  readonly key: string;
}

/** Asks a server over TLS; prints what it answers, or the code and the text of the error. */
function asking(address: string, key: string | undefined): string {
  return `
    import { Client } from ${JSON.stringify(INDEX)};
    const client = new Client("https://${address}", { apiKey: ${JSON.stringify(key)}, attempts: 1 });
    const shown = (error) => JSON.stringify([error.code, error.message, error.hint, error.stack]);
    const call = client.predict("double", { value: [1.5] });
    console.log(await call.then((table) => table.column("double").get(0), shown));
    console.log(JSON.stringify(client), String(client));
  `;
}

/** Which authorities Node trusts is settled when it starts: each call is a process. */
export const tlsAndKey: Story = async (world) => {
  const { http, authority, key } = await world.control<Secure>("secure");
  const trusting = { NODE_EXTRA_CA_CERTS: authority };
  const asked = [key, undefined, `${key}x`].map((given) =>
    runModule(asking(http, given), trusting),
  );
  const said = await Promise.all([...asked, runModule(asking(http, key))]);
  const [answered = "", ...errors] = said.map(([first]) => first);
  same(answered, "3");
  same(
    errors.map((error) => JSON.parse(error ?? "")[0]),
    ["unauthorized", "unauthorized", "server_unreachable"],
  );
  holds(!said.flat().join("\n").includes(key), "the key is in no text");
};

/** The code of the guide, all blocks one after the other, prints what its comments say. */
export const guide: Story = async (world) => {
  const page = readFileSync(
    join(CLIENT, "..", "..", "docs", "guides", "client-javascript.md"),
    "utf8",
  );
  const blocks = [...page.matchAll(/^```js\n(?<code>.*?)^```/gmsu)].map(
    ({ groups }) => groups?.code,
  );
  const code = blocks.join("\n");
  const promised = [...code.matchAll(/console\.log.*\/\/ (?<lines>.*)$/gmu)];
  const lines = promised.flatMap(({ groups }) => groups?.lines?.split(" | ") ?? []);
  holds(blocks.length >= 5 && lines.length >= 5, "the guide has code that prints");
  holds((blocks[0]?.trimEnd().split("\n").length ?? 0) <= 22, "the quick start has twenty lines");
  same(await world.runModule(code.replaceAll("http://127.0.0.1:8000", world.server)), lines);
};
