/**
 * Time, and the end of the current tick; passed in, so that tests turn it by hand.
 *
 * The end of a tick comes after every promise that is due has gone on: in Node by `setImmediate`, in
 * browsers by a message to oneself, which, unlike their `setTimeout`, is not held back for milliseconds.
 */

/** Ends a wait that is no longer needed. */
export type Cancel = () => void;

/** What the client knows of time. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  now(): number;
  /** Calls back after this many milliseconds, unless cancelled; never where that is more than 24 days. */
  after(ms: number, call: () => void): Cancel;
  /** Calls back when the current tick has ended. */
  atEndOfTick(call: () => void): void;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The clock of the machine. */
export const SYSTEM_CLOCK: Clock = {
  now: () => performance.now(),
  after(ms, call) {
    if (ms > LONGEST_TIMER_MS) {
      return () => {};
    }
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
  atEndOfTick: endOfTick(),
};

function endOfTick(): (call: () => void) => void {
  const { setImmediate } = globalThis as { setImmediate?: (call: () => void) => void };
  if (setImmediate !== undefined) {
    return (call) => setImmediate(call);
  }
  const waiting: (() => void)[] = [];
  let channel: MessageChannel | undefined;
  return (call) => {
    if (channel === undefined) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => waiting.shift()?.();
    }
    waiting.push(call);
    channel.port2.postMessage(null);
  };
}
