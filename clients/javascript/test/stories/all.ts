/** Every story that is played in Node and in browsers alike, by its name in `protocol/stories.toml`. */

import * as calls from "./calls.js";
import * as gathered from "./gathered.js";
import * as tables from "./tables.js";
import * as trouble from "./trouble.js";
import type { Story, World } from "./world.js";

const FOLDERS: Readonly<Record<string, Story>> = { ...calls, ...gathered, ...tables, ...trouble };

/** The stories: `happyPath` under the name `happy_path`. */
export const STORIES: ReadonlyMap<string, Story> = new Map(
  Object.entries(FOLDERS).map(([name, story]) => [
    name.replaceAll(/[A-Z]/gu, (letter) => `_${letter.toLowerCase()}`),
    story,
  ]),
);

/** Plays a story; what it holds up is let go, also when it fails. */
export async function play(name: string, world: World): Promise<void> {
  const story = STORIES.get(name);
  if (story === undefined) {
    throw new Error(`there is no story ${name}`);
  }
  try {
    await story(world);
  } finally {
    await world.control("open");
  }
}
