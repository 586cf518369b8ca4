/**
 * One request over `fetch`, and its answer; whatever goes wrong on the way has its class.
 *
 * - A request that reaches nobody, and an answer that breaks off, are `UnreachableError`.
 * - A status other than 200 is the error that the body says.
 * - A request that is aborted fails with the reason of its signal, whatever `fetch` makes of it.
 * - Keys travel in headers only, and never stand in an error.
 */

import type { Body } from "../envelope/encoding.js";
import { errorFromRefusal } from "../errors/answered.js";
import { AnswerError, ConfigurationError, UnreachableError } from "../errors/kinds.js";

/** What `fetch` is, as far as this client uses it. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Where requests go, and what all of them bring. */
export interface Destination {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetch: Fetch;
  /** What else `fetch` is given: in Node `dispatcher`, in browsers `credentials`. */
  readonly init: RequestInit;
}

/** One request. */
export interface Outgoing {
  readonly body: Body;
  readonly contentType: string;
  readonly accept: string;
  readonly signal: AbortSignal;
}

const MAX_ANSWER_BYTES = 2 ** 30;
const MAX_REFUSAL_BYTES = 2 ** 20;
const MAY_BE_SECRET = /[@?#]/u; // what stands around these in an address is not shown

/** The address of tasks below a server's. Throws a `ConfigurationError` for what is none. */
export function addressOf(server: string): string {
  const url = URL.canParse(server) ? new URL(server) : undefined;
  if (url === undefined || !/^https?:$/u.test(url.protocol)) {
    const hint = "for example http://127.0.0.1:8000";
    const what = MAY_BE_SECRET.test(server) ? "that" : `'${server}'`;
    throw new ConfigurationError(`${what} is no address of a server`, { hint });
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new ConfigurationError("an address has no user, no query and no fragment");
  }
  return new URL("v1/tasks", url.href.endsWith("/") ? url.href : `${url.href}/`).href;
}

/** Sends a request; gives an answer of status 200, whose body is not read yet. */
export async function post(destination: Destination, outgoing: Outgoing): Promise<Response> {
  const { body, contentType, accept, signal } = outgoing;
  const response = await reached(signal, () =>
    destination.fetch(destination.url, {
      ...destination.init,
      method: "POST",
      headers: { ...destination.headers, "content-type": contentType, accept },
      body,
      signal,
    }),
  );
  if (response.status !== 200) {
    const text = new TextDecoder().decode(await bodyOf(response, signal, MAX_REFUSAL_BYTES));
    throw errorFromRefusal(response.status, response.headers.get("retry-after"), text);
  }
  return response;
}

/** Reads a body as a whole. Throws an `AnswerError` where it is larger than the client takes. */
export async function bodyOf(
  response: Response,
  signal: AbortSignal,
  limitBytes = MAX_ANSWER_BYTES,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of piecesOf(response, signal, limitBytes)) {
    pieces.push(piece);
  }
  const [first, ...others] = pieces;
  return first !== undefined && others.length === 0 ? first : joined(pieces);
}

/** The pieces of a body as they arrive. */
export async function* piecesOf(
  response: Response,
  signal: AbortSignal,
  limitBytes = MAX_ANSWER_BYTES,
): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader();
  let count = 0;
  try {
    while (reader !== undefined) {
      const { done, value } = await reached(signal, () => reader.read());
      if (done) {
        return;
      }
      count += value.length;
      if (count > limitBytes) {
        throw new AnswerError(`the answer has more than ${limitBytes} bytes, which is too much`);
      }
      yield value;
    }
  } finally {
    await reader?.cancel().catch(() => undefined); // it has ended, or failed as was told already
  }
}

/** Puts pieces into one. */
export function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

async function reached<T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (signal.aborted) {
      throw signal.reason;
    }
    throw new UnreachableError(`the server cannot be reached: ${reasonOf(cause)}`, { cause });
  }
}

/** What `fetch` says, and below it what the network said. */
function reasonOf(error: unknown): string {
  const below = error instanceof Error ? error.cause : undefined;
  const reason = below instanceof Error && below.message !== "" ? below : error;
  return reason instanceof Error ? reason.message : String(reason);
}
