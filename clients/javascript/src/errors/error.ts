/**
 * What every error of Shoal derives from.
 *
 * - The message says what happened, the offending value, and what was expected; the remedy is apart, in `hint`.
 * - An error's class is found by its code alone, so that it means the same wherever it was found.
 * - A code that this version does not know is kept in `code`; its class is the one of its HTTP status.
 */

import { CATALOGUE } from "./catalogue.js";

/** What is known of an error beside its message. */
export interface ErrorDetails {
  /** The code as it arrived; the one of the class without it. */
  readonly code?: string | undefined;
  /** What to do about it. */
  readonly hint?: string | undefined;
  /** After how many milliseconds the same may be sent again, where the server says so. */
  readonly retryAfterMs?: number | undefined;
  /** What this error was made of. */
  readonly cause?: unknown;
}

/** What every error of Shoal derives from; never thrown itself. */
export class ShoalError extends Error {
  /** The code of the class, as in `protocol/errors.toml`. */
  static readonly code: string = "internal";

  /** The stable name of this error. */
  readonly code: string;
  /** What to do about it, or undefined. */
  readonly hint: string | undefined;
  /** After how many milliseconds the same may be sent again, or undefined. */
  readonly retryAfterMs: number | undefined;
  /** The id of the task that failed; undefined where the whole call did. */
  taskId: string | undefined = undefined;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code ?? new.target.code;
    this.hint = details.hint;
    this.retryAfterMs = details.retryAfterMs;
  }

  /** Whether the same request may be sent again unchanged. */
  get isRetryable(): boolean {
    const known = CATALOGUE.get(this.code);
    const kind = this.constructor as typeof ShoalError;
    const isOfStatus = CATALOGUE.get(kind.code)?.isRetryable ?? false;
    return known?.isRetryable ?? (isOfStatus || this.retryAfterMs !== undefined);
  }

  /** Another error that says the same, so that each task that failed has its own. */
  copy(): ShoalError {
    const Kind = this.constructor as typeof ShoalError;
    const { code, hint, retryAfterMs } = this;
    return new Kind(this.message, { code, hint, retryAfterMs, cause: this });
  }

  /** The text for a terminal: the message, and the hint on a line of its own. */
  render(): string {
    return this.hint === undefined ? this.message : `${this.message}\nhint: ${this.hint}`;
  }
}
