/** The server of the stories, started from Node: a program of Python, which ends with its standard input. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Addresses } from "./world.js";

const REPOSITORY = fileURLToPath(new URL("../../../../../", import.meta.url));

/** A server that is running. */
export interface StoryServer {
  readonly addresses: Addresses;
  stop(): Promise<void>;
}

/**
 * Starts the server; `PYTHON` is the program that has Shoal, and `SHOAL_STORIES` a folder where its packages
 * lie, or are to be built. Where `SHOAL_STORIES_SERVER` says where one listens already, it is that one.
 */
export async function startServer(): Promise<StoryServer> {
  const { PYTHON = "python3", SHOAL_STORIES, SHOAL_STORIES_SERVER } = process.env;
  if (SHOAL_STORIES_SERVER !== undefined) {
    return { addresses: JSON.parse(SHOAL_STORIES_SERVER), stop: () => Promise.resolve() };
  }
  const own = SHOAL_STORIES ?? mkdtempSync(join(tmpdir(), "shoal-stories-"));
  const child = spawn(PYTHON, ["-m", "tests.services.stories", own], {
    cwd: REPOSITORY,
    env: { ...process.env, PYTHONPATH: join(REPOSITORY, "python") },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const addresses: Addresses = JSON.parse(await firstLine(child));
  const stop = async () => {
    child.stdin?.end();
    await new Promise((resolve) => child.once("exit", resolve));
    if (SHOAL_STORIES === undefined) {
      rmSync(own, { recursive: true });
    }
  };
  return { addresses, stop };
}

function firstLine(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the server of the stories ended with ${code}`)));
    if (child.stdout !== null) {
      createInterface(child.stdout).once("line", resolve);
    }
  });
}
