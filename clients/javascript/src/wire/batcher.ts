/**
 * Micro-batches of calls: those that are made within the same tick travel in one envelope.
 *
 * - A call waits for the end of its tick, and no longer while fewer than 4 envelopes are on their way. With
 *   4 or more, those that come gather until one is answered, at most a millisecond.
 * - An envelope has at most 1,000 calls and about 1 MiB, the shared tables that its calls name included; a
 *   larger one of those travels with the calls that name it. A call of more than 64 KiB, without shared
 *   tables, travels alone: it would keep others waiting.
 * - Calls for several models in one envelope are answered as they are ready, so that none waits for another
 *   model; those for one model share its micro-batches anyway, and are answered together.
 * - What fails, fails alone: an envelope that is refused as a whole is sent again in halves. What may be
 *   tried again is, in whatever envelope goes then. A caller who leaves takes nobody along; when all have
 *   left, the envelope is aborted.
 */

import { type Merged, Result } from "../envelope/result.js";
import type { EnvelopeParts } from "../envelope/write.js";
import { ShoalError } from "../errors/error.js";
import { InputError, MethodError, UnauthorizedError, UnknownRouteError } from "../errors/kinds.js";
import { type Asked, Call } from "./call.js";
import type { Cancel, Clock } from "./clock.js";
import type { Envelope, Exchange } from "./exchange.js";
import { envelopesOf } from "./filling.js";
import { Flight } from "./flight.js";
import { type Patience, waitMs } from "./retry.js";

/** How calls are gathered. */
export interface Gathering {
  /** 1 is no gathering. */
  readonly maxTasks: number;
  readonly patience: Patience;
  /** Whether answers are always wanted as they are ready. */
  readonly isStreamed: boolean;
}

const ALONE_BYTES = 2 ** 16;
const BUSY_ENVELOPES = 4;
const LONGEST_WAIT_MS = 1;

/** Gathers calls into envelopes, and answers each. */
export class MicroBatcher {
  readonly #exchange: Exchange;
  readonly #parts: EnvelopeParts;
  readonly #gathering: Gathering;
  readonly #clock: Clock;
  #waiting: Call[] = [];
  #isDue = false;
  #held: Cancel | undefined;
  #underWay = 0;

  constructor(exchange: Exchange, parts: EnvelopeParts, gathering: Gathering, clock: Clock) {
    this.#exchange = exchange;
    this.#parts = parts;
    this.#gathering = gathering;
    this.#clock = clock;
  }

  /** Sends a call, with others; gives its result, which may be an error. */
  call(asked: Asked): Promise<Result> {
    const call = new Call(asked, this.#clock);
    this.#add(call);
    return call.result;
  }

  #add(call: Call): void {
    if (call.isSettled) {
      return;
    }
    if (this.#gathering.maxTasks === 1 || call.task.size > ALONE_BYTES) {
      void this.#send([call]);
      return;
    }
    this.#waiting.push(call);
    if (!this.#isDue) {
      this.#isDue = true;
      this.#clock.atEndOfTick(() => this.#endTick());
    }
  }

  #endTick(): void {
    if (this.#underWay < BUSY_ENVELOPES) {
      this.#flush();
    } else {
      this.#held = this.#clock.after(LONGEST_WAIT_MS, () => this.#flush());
    }
  }

  #flush(): void {
    this.#isDue = false;
    this.#held = undefined;
    const waiting = this.#waiting.filter((call) => !call.isSettled);
    this.#waiting = [];
    for (const calls of envelopesOf(waiting, this.#gathering.maxTasks, this.#parts)) {
      void this.#send(calls);
    }
  }

  /** Sends an envelope; in the end each of its calls is settled, or waits for another attempt. */
  async #send(calls: readonly Call[]): Promise<void> {
    const flight = new Flight(calls);
    this.#underWay += 1;
    try {
      await this.#answer(flight);
    } catch (error) {
      this.#failed(flight, error);
    }
    this.#underWay -= 1;
    if (this.#held !== undefined) {
      this.#held();
      this.#held = undefined;
      this.#clock.atEndOfTick(() => this.#flush());
    }
  }

  async #answer(flight: Flight): Promise<void> {
    for await (const result of this.#results(flight)) {
      if (result instanceof Result) {
        this.#arrived(flight, result);
      }
    }
  }

  #arrived(flight: Flight, result: Result): void {
    const call = flight.arrived(result.id);
    if (result.error === undefined) {
      call?.answer(result);
    } else if (call !== undefined) {
      this.#retry(call, result.error, flight.chance);
    }
  }

  async *#results(flight: Flight): AsyncGenerator<Result | Merged> {
    const { calls, signal } = flight;
    const envelope: Envelope = { posted: flight.posted(), parts: this.#parts, signal };
    if (this.#gathering.isStreamed || modelsOf(calls).size > 1) {
      yield* this.#exchange.lines(envelope);
    } else {
      yield* (await this.#exchange.whole(envelope)).results;
    }
  }

  /** The envelope failed as a whole, for those of its calls that still wait. */
  #failed(flight: Flight, error: unknown): void {
    const calls = flight.land();
    if (!(error instanceof ShoalError)) {
      for (const call of calls) {
        call.reject(error);
      }
    } else if (calls.length > 1 && isOfOne(error)) {
      const half = Math.ceil(calls.length / 2);
      forgive(calls);
      void this.#send(calls.slice(0, half));
      void this.#send(calls.slice(half));
    } else {
      for (const call of calls) {
        this.#retry(call, error.copy(), flight.chance);
      }
    }
  }

  #retry(call: Call, error: ShoalError, chance: number): void {
    const { patience } = this.#gathering;
    const attempts = { ...patience, made: call.attempts, leftMs: call.leftMs };
    const wait = waitMs(error, attempts, chance);
    if (wait === undefined) {
      call.fail(error);
    } else {
      call.whenSettled(this.#clock.after(wait, () => this.#add(call)));
    }
  }
}

function modelsOf(calls: readonly Call[]): Set<string> {
  return new Set(calls.map(({ task }) => task.fields.model));
}

/** Whether one call may be the reason why the envelope was refused as a whole. */
function isOfOne(error: ShoalError): boolean {
  const isOfAll =
    error instanceof UnauthorizedError ||
    error instanceof UnknownRouteError ||
    error instanceof MethodError;
  return error instanceof InputError && !isOfAll;
}

/** An attempt that was refused for another's sake does not count. */
function forgive(calls: readonly Call[]): void {
  for (const call of calls) {
    call.attempts -= 1;
  }
}
