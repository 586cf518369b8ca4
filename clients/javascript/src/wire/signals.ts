/**
 * Listening to signals of callers: one listener for each signal, however many calls it takes back, so that no
 * warning of leaks comes up, and nothing is left when a call has ended but an empty set.
 */

import type { Cancel } from "./clock.js";

const WAITING = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls back when the signal is aborted, at once where it is already, unless cancelled before. */
export function onAbort(signal: AbortSignal | undefined, call: () => void): Cancel {
  if (signal === undefined) {
    return () => {};
  }
  if (signal.aborted) {
    call();
    return () => {};
  }
  const calls = WAITING.get(signal) ?? listening(signal);
  calls.add(call);
  return () => {
    calls.delete(call);
  };
}

function listening(signal: AbortSignal): Set<() => void> {
  const calls = new Set<() => void>();
  WAITING.set(signal, calls);
  const tell = () => {
    for (const call of [...calls]) {
      call();
    }
  };
  signal.addEventListener("abort", tell, { once: true });
  return calls;
}
