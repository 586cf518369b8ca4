/**
 * Where the stories of `protocol/stories.toml` are played: a real server, and words for what stands around it.
 *
 * What is in this folder runs in Node and in browsers: it imports nothing of either.
 */

import { Client, type ClientOptions, type ShoalError } from "../../src/index.js";

/** Where the server of the stories listens, as it says itself. */
export interface Addresses {
  readonly http: string;
  readonly relay: string;
  readonly control: string;
}

/** What the control says of what has come. */
export interface Seen {
  readonly connections: number;
  readonly envelopes: number;
  readonly calls: readonly number[];
}

/** The words that the control knows. */
export type Word =
  | "hold"
  | "open"
  | "fill"
  | "restart"
  | "kill"
  | "start"
  | "cut"
  | "lose"
  | "forget"
  | "seen"
  | "waiting"
  | "secure";

/** A story: does something, and throws if it does not see what it should. */
export type Story = (world: World) => Promise<void>;

const POLL_LIMIT_MS = 10_000;

/** A place where stories are played. */
export class World {
  readonly #addresses: Addresses;
  /** Runs the text of a module; gives the lines that it printed. */
  readonly runModule: (text: string) => Promise<string[]>;
  /** The README of the client. */
  readonly readme: string;
  /** How many connections a client may have open at once. */
  readonly maxConnections: number;

  constructor(addresses: Addresses, here: Pick<World, "runModule" | "readme" | "maxConnections">) {
    this.#addresses = addresses;
    this.runModule = here.runModule;
    this.readme = here.readme;
    this.maxConnections = here.maxConnections;
  }

  /** Where the server is. */
  get server(): string {
    return `http://${this.#addresses.http}`;
  }

  /** A client of the server. */
  client(options: ClientOptions = {}): Client {
    return new Client(this.server, options);
  }

  /** A client that speaks through the relay. */
  relayed(options: ClientOptions = {}): Client {
    return new Client(`http://${this.#addresses.relay}`, options);
  }

  /** Says a word to the control. */
  async control<T = unknown>(word: Word): Promise<T> {
    const response = await fetch(`http://${this.#addresses.control}/${word}`, { method: "POST" });
    const said = (await response.json()) as T & { error?: string };
    if (said.error !== undefined) {
      throw new Error(`/${word}: ${said.error}`);
    }
    return said;
  }

  /** What has passed the relay since `/forget`. */
  seen(): Promise<Seen> {
    return this.control<Seen>("seen");
  }

  /** Waits until `held` has so many rows in its queue, and is at work on others. */
  async untilWaiting(rows: number): Promise<void> {
    await until(async () => {
      const waiting = await this.control<{ rows: number; reached: boolean }>("waiting");
      return waiting.reached && waiting.rows === rows;
    }, `${rows} rows wait`);
  }
}

/** Asks again and again until it is so; throws when it takes too long. */
export async function until(isSo: () => Promise<boolean>, what: string): Promise<void> {
  const endsAtMs = performance.now() + POLL_LIMIT_MS;
  while (!(await isSo())) {
    if (performance.now() > endsAtMs) {
      throw new Error(`it never came about: ${what}`);
    }
  }
}

/** Throws unless both are the same, told by their text. */
export function same(found: unknown, expected: unknown): void {
  const [one, other] = [textOf(found), textOf(expected)];
  if (one !== other) {
    throw new Error(`found ${one.slice(0, 500)}, expected ${other.slice(0, 500)}`);
  }
}

/** Throws unless it is so. */
export function holds(isSo: boolean, what: string): void {
  if (!isSo) {
    throw new Error(`it does not hold: ${what}`);
  }
}

/** Throws unless time ran out; a server that knows that it will says so at once. */
export function isLate(error: ShoalError | undefined): void {
  const codes = ["deadline_exceeded", "deadline_out_of_reach"];
  holds(error !== undefined && codes.includes(error.code), `${error?.code} is about time`);
}

/** The error of what has to fail. */
export async function failure(promise: Promise<unknown>): Promise<ShoalError> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (outcome === undefined) {
    throw new Error("it did not fail");
  }
  return outcome as ShoalError;
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (typeof inner === "bigint") {
      return `${inner}n`;
    }
    const isOdd = typeof inner === "number" && (!Number.isFinite(inner) || Object.is(inner, -0));
    return isOdd ? `number ${Object.is(inner, -0) ? "-0" : inner}` : inner;
  });
}
