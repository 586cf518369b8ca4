/**
 * Writes `src/errors/catalogue.ts` and `src/errors/kinds.ts`: `npm run generate`.
 *
 * Codes, statuses and sentences come from `protocol/errors.toml`; which class a code has, and what it
 * derives from, from the tree drawn in `python/shoal/errors/_tree.py`, so that classes have one name in
 * both languages. A test fails when the files are not what this program writes.
 */

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "smol-toml";

interface Entry {
  readonly http: number;
  readonly retryable: boolean;
  readonly sentence: string;
}

interface Kind {
  readonly name: string;
  readonly code: string;
  readonly parent: string;
}

const HEAD = "// Written by tools/write_errors.ts from protocol/errors.toml; do not edit.\n\n";
const BRANCH = /^ {4}(?<indent>(?:│ {3}| {4})*)[├└]── (?<name>\w+) +(?<code>\w+)$/gmu;

const CLIENT = new URL("../../", import.meta.url);
const REPOSITORY = new URL("../../", CLIENT);

/** The files that are generated: their text by their path, relative to the client's folder. */
export function generated(): Map<string, string> {
  const toml = readFileSync(new URL("protocol/errors.toml", REPOSITORY), "utf8");
  const tree = readFileSync(new URL("python/shoal/errors/_tree.py", REPOSITORY), "utf8");
  const entries = parse(toml) as unknown as Record<string, Entry>;
  return new Map([
    ["src/errors/catalogue.ts", catalogueText(entries)],
    ["src/errors/kinds.ts", kindsText(entries, kindsOf(tree))],
  ]);
}

function kindsOf(tree: string): Kind[] {
  const path: string[] = ["ShoalError"];
  const kinds: Kind[] = [];
  for (const { groups } of tree.matchAll(BRANCH)) {
    const { indent = "", name = "", code = "" } = groups ?? {};
    path.length = indent.length / 4 + 1;
    kinds.push({ name, code, parent: path.at(-1) ?? "ShoalError" });
    path.push(name);
  }
  return kinds;
}

function catalogueText(entries: Record<string, Entry>): string {
  const rows = Object.entries(entries).map(
    ([code, entry]) => `  ["${code}", { http: ${entry.http}, isRetryable: ${entry.retryable} }],\n`,
  );
  return `${HEAD}/** What the protocol says of a code. */
export interface CatalogueEntry {
  /** The HTTP status it travels with. */
  readonly http: number;
  /** Whether the same request may be sent again unchanged. */
  readonly isRetryable: boolean;
}

/** Every code of the protocol. */
export const CATALOGUE: ReadonlyMap<string, CatalogueEntry> = new Map([
${rows.join("")}]);
`;
}

function kindsText(entries: Record<string, Entry>, kinds: readonly Kind[]): string {
  const classes = kinds.map(
    ({ name, code, parent }) => `/** ${entries[code]?.sentence} */
export class ${name} extends ${parent} {
  static override readonly code: string = "${code}";
  override name = "${name}";
}
`,
  );
  return `${HEAD}import { ShoalError } from "./error.js";

${classes.join("\n")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of generated()) {
    writeFileSync(new URL(path, CLIENT), text);
  }
}
