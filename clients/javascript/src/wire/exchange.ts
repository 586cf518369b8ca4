/**
 * One envelope there and back, without a second attempt.
 *
 * - Of the shared tables those travel that a task of the envelope names.
 * - The answer is read by its content type: as a whole, or, of a server that was asked for answers as they
 *   are ready, line by line.
 */

import type { Encoding } from "../envelope/encoding.js";
import { type Answer, type Awaited, readAnswer } from "../envelope/read.js";
import type { Merged, Result } from "../envelope/result.js";
import { type EnvelopeParts, type Posted, writeEnvelope } from "../envelope/write.js";
import { AnswerError } from "../errors/kinds.js";
import { JSON_ENCODING } from "../json/encoding.js";
import { answersOf, linesOf } from "./lines.js";
import { bodyOf, type Destination, piecesOf, post } from "./transport.js";

const LINES = "application/x-ndjson";

/** What is sent at once. */
export interface Envelope {
  readonly posted: readonly Posted[];
  readonly parts: EnvelopeParts;
  readonly signal: AbortSignal;
}

/** Sends envelopes in one encoding to one server. */
export class Exchange {
  readonly #destination: Destination;
  readonly #encoding: Encoding;

  constructor(destination: Destination, encoding: Encoding) {
    this.#destination = destination;
    this.#encoding = encoding;
  }

  /** Sends an envelope; gives its answer when it is whole. */
  async whole(envelope: Envelope): Promise<Answer> {
    const response = await this.#post(envelope, this.#encoding.contentType);
    const body = await bodyOf(response, envelope.signal);
    return readAnswer(body, this.#encodingOf(response), awaitedOf(envelope));
  }

  /**
   * Sends an envelope; gives each result when it is ready, and what was merged in the end. Once the server
   * has begun to answer, what goes wrong is the result of the tasks that still wait.
   */
  async *lines(envelope: Envelope): AsyncGenerator<Result | Merged> {
    const response = await this.#post(envelope, LINES);
    if (typeOf(response) !== LINES) {
      throw new AnswerError(`the answer is ${typeOf(response)}; expected ${LINES}`);
    }
    yield* answersOf(linesOf(piecesOf(response, envelope.signal)), awaitedOf(envelope));
  }

  #post({ posted, parts, signal }: Envelope, accept: string): Promise<Response> {
    const tables = namedTables(posted, parts);
    const body = writeEnvelope(posted, { ...parts, tables }, this.#encoding);
    return post(this.#destination, {
      body,
      contentType: this.#encoding.contentType,
      accept,
      signal,
    });
  }

  #encodingOf(response: Response): Encoding {
    const type = typeOf(response);
    const known = [this.#encoding, JSON_ENCODING].find(({ contentType }) => contentType === type);
    if (known === undefined) {
      throw new AnswerError(`the answer is ${type}; expected ${this.#encoding.contentType}`);
    }
    return known;
  }
}

function namedTables(posted: readonly Posted[], { tables }: EnvelopeParts) {
  const named = new Set(posted.map(({ task }) => task.table));
  return new Map([...tables].filter(([name]) => named.has(name)));
}

function awaitedOf({ posted, parts }: Envelope): Awaited {
  return { ids: posted.map(({ id }) => id), isMerged: parts.merge !== undefined };
}

/** The content type, without its parameters. */
function typeOf(response: Response): string {
  const header = response.headers.get("content-type") ?? "of no type";
  return (header.split(";")[0] ?? "").trim().toLowerCase();
}
