/**
 * One call on its way: a task that is sent, perhaps again, until it is settled, once.
 *
 * It is settled by its result, by an error that is not tried again, by the end of its time, or by its
 * caller, who no longer wants it. Whatever waits for it is told, so that nothing goes on for nobody.
 */

import { Result } from "../envelope/result.js";
import type { EncodedTask } from "../envelope/write.js";
import type { ShoalError } from "../errors/error.js";
import { DeadlineError } from "../errors/kinds.js";
import type { Cancel, Clock } from "./clock.js";
import { onAbort } from "./signals.js";

const KEPT_BITS = 6;
const MOST_ROUNDED_BITS = 18;

/** What a caller asks for. */
export interface Asked {
  readonly id: string;
  readonly task: EncodedTask;
  /** May be infinite. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/** A call that is on its way, or settled. */
export class Call {
  readonly id: string;
  readonly task: EncodedTask;
  /** Its result; it is rejected only with the reason of the caller's signal. */
  readonly result: Promise<Result>;
  /** How many times it was sent. */
  attempts = 0;
  isSettled = false;

  readonly #clock: Clock;
  readonly #endsAtMs: number;
  readonly #atEnd: Cancel[] = [];
  #resolve: (result: Result) => void = () => {};
  #reject: (reason: unknown) => void = () => {};

  constructor(asked: Asked, clock: Clock) {
    const { id, task, timeoutMs, signal } = asked;
    this.id = id;
    this.task = task;
    this.#clock = clock;
    this.#endsAtMs = clock.now() + timeoutMs;
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.whenSettled(clock.after(timeoutMs, () => this.fail(lateError(timeoutMs))));
    this.whenSettled(onAbort(signal, () => this.reject(signal?.reason)));
  }

  /** How many milliseconds are left. */
  get leftMs(): number {
    return this.#endsAtMs - this.#clock.now();
  }

  /**
   * What is left as the protocol says it: microseconds, at least one; 0 is no limit.
   *
   * Rounded down by 3 % or 0.26 s at most: so calls that were made shortly after each other have the
   * same budget, and a server joins them.
   */
  get leftUs(): number {
    if (!Number.isFinite(this.leftMs)) {
      return 0;
    }
    const leftUs = Math.max(1, Math.floor(this.leftMs * 1000));
    const bits = Math.floor(Math.log2(leftUs)) + 1;
    const step = 2 ** Math.max(0, Math.min(bits - KEPT_BITS, MOST_ROUNDED_BITS));
    return Math.floor(leftUs / step) * step;
  }

  /** Has this called when the call is settled. */
  whenSettled(call: Cancel): void {
    this.#atEnd.push(call);
  }

  /** Answers the caller. */
  answer(result: Result): void {
    this.#settle(() => this.#resolve(result.named(this.id)));
  }

  /** Answers the caller with an error. */
  fail(error: ShoalError): void {
    this.#settle(() => this.#resolve(new Result(this.id, error)));
  }

  /** Throws at the caller: the reason of a signal, or what should never happen. */
  reject(reason: unknown): void {
    this.#settle(() => this.#reject(reason));
  }

  #settle(tell: () => void): void {
    if (this.isSettled) {
      return;
    }
    this.isSettled = true;
    tell();
    for (const call of this.#atEnd) {
      call();
    }
  }
}

/** The error of a task whose time ran out here. */
export function lateError(timeoutMs: number): DeadlineError {
  return new DeadlineError(`there was no answer within ${Math.round(timeoutMs)} ms`);
}
