/**
 * Whether a failed attempt is followed by another, and when. Pure: time and chance are arguments.
 *
 * - Only what the catalogue calls retryable is tried again, a server that cannot be reached included: every
 *   task has a key of idempotency, so that what was answered already is not computed twice.
 * - The server's word on when to come again is kept: never earlier. Where that is later than the client is
 *   willing to wait, there is no other attempt.
 * - Without it waits double from 50 ms to 2 s. Of either, up to half is added by chance, so that those who
 *   were turned away together do not come back together.
 * - There is no attempt that would begin after the time of the task has run out.
 */

import type { ShoalError } from "../errors/error.js";

/** How patient a client is. */
export interface Patience {
  /** How many attempts there may be, the first included. */
  readonly attempts: number;
  /** How many milliseconds it waits for the next at most, before chance adds to it. */
  readonly maxWaitMs: number;
}

/** What has been tried, and what is left. */
export interface Attempts extends Patience {
  /** How many attempts were made. */
  readonly made: number;
  /** How many milliseconds are left; may be infinite. */
  readonly leftMs: number;
}

const FIRST_WAIT_MS = 50;
const LONGEST_WAIT_MS = 2000;
const SPREAD = 0.5;

/** How many milliseconds to wait before the next attempt; undefined where there is none. */
export function waitMs(error: ShoalError, attempts: Attempts, chance: number): number | undefined {
  const { made, maxWaitMs, leftMs } = attempts;
  const doubled = Math.min(LONGEST_WAIT_MS, maxWaitMs, FIRST_WAIT_MS * 2 ** (made - 1));
  const askedMs = error.retryAfterMs ?? doubled;
  if (!error.isRetryable || made >= attempts.attempts || askedMs > maxWaitMs) {
    return undefined;
  }
  const wait = askedMs * (1 + SPREAD * chance);
  return wait < leftMs ? wait : undefined;
}
