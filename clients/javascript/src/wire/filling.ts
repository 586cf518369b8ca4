/**
 * Calls, cut into envelopes: in their order, of limited number and bytes.
 *
 * A shared table counts once in each envelope in which a call names it. One that is larger than an envelope may
 * be is no reason to send it more often: further calls that name it travel with it, as far as they themselves
 * do not fill the envelope.
 */

import { type EnvelopeParts, sizeOf } from "../envelope/write.js";
import type { Call } from "./call.js";

const MAX_BYTES = 2 ** 20;

/** Cuts calls into envelopes of at most so many tasks. */
export function envelopesOf(
  calls: readonly Call[],
  maxTasks: number,
  { tables }: EnvelopeParts,
): (readonly Call[])[] {
  const envelopes: Filled[] = [];
  for (const call of calls) {
    const last = envelopes.at(-1);
    if (last === undefined || last.calls.length >= maxTasks || !last.takes(call)) {
      envelopes.push(new Filled(tables, call));
    } else {
      last.add(call);
    }
  }
  return envelopes.map(({ calls }) => calls);
}

/** An envelope that is being filled. */
class Filled {
  readonly calls: Call[] = [];
  readonly #tables: EnvelopeParts["tables"];
  readonly #named = new Set<string>();
  #ownBytes = 0;
  #sharedBytes = 0;

  constructor(tables: EnvelopeParts["tables"], first: Call) {
    this.#tables = tables;
    this.add(first);
  }

  /** Whether there is room for one more call. */
  takes(call: Call): boolean {
    const ownBytes = this.#ownBytes + call.task.size;
    const added = this.#addedBytes(call);
    return (
      ownBytes <= MAX_BYTES && (added === 0 || ownBytes + this.#sharedBytes + added <= MAX_BYTES)
    );
  }

  add(call: Call): void {
    this.calls.push(call);
    this.#ownBytes += call.task.size;
    this.#sharedBytes += this.#addedBytes(call);
    if (typeof call.task.table === "string") {
      this.#named.add(call.task.table);
    }
  }

  /** How many bytes the shared table has that this call would bring along. */
  #addedBytes({ task: { table } }: Call): number {
    const shared = typeof table === "string" && !this.#named.has(table) && this.#tables.get(table);
    return shared ? sizeOf(shared) : 0;
  }
}
