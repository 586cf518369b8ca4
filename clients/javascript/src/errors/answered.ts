/**
 * Errors as a server answers them, back into their classes.
 *
 * - The class is the one of the code. A code nobody knows is kept, and taken by its HTTP status; without a
 *   status it is an `InternalError`, which may be tried again where the server says when.
 * - An error page that is none of Shoal, JSON or not, as proxies send it, is an `UnreachableError` with the status 502,
 *   503 or 504, and an `AnswerError` with others.
 * - `retry_after_ms` of the body comes before the header `Retry-After`, which is in seconds.
 */

import type { ErrorDetails, ShoalError } from "./error.js";
import * as kinds from "./kinds.js";

type Kind = typeof ShoalError;

const KIND_OF_CODE: ReadonlyMap<string, Kind> = new Map(
  Object.values(kinds).map((kind) => [kind.code, kind]),
);
const KIND_OF_STATUS: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [401, kinds.UnauthorizedError],
  [404, kinds.UnknownRouteError],
  [405, kinds.MethodError],
  [413, kinds.BodyTooLargeError],
  [429, kinds.OverloadedError],
  [431, kinds.HeadersTooLargeError],
  [502, kinds.UnreachableError],
  [503, kinds.UnavailableError],
  [504, kinds.DeadlineError],
]);
const STATUSES_OF_PROXIES: ReadonlySet<number> = new Set([502, 503, 504]);
const SHOWN_CHARACTERS = 200;

/** The object of an error, as the protocol has it. */
export interface ErrorBody {
  readonly error?: unknown;
  readonly code?: unknown;
  readonly hint?: unknown;
  readonly retry_after_ms?: unknown;
}

/** Builds the error that a code stands for, with the HTTP status it came with if there was one. */
function errorFor(code: string, message: string, details: ErrorDetails, status?: number) {
  const Kind = KIND_OF_CODE.get(code) ?? kindOfStatus(status);
  return new Kind(message, { ...details, code });
}

/** Builds the error of one task, or of a refusal whose body is JSON. */
export function errorFromBody(body: ErrorBody, status?: number, retryAfterMs?: number): ShoalError {
  const message = typeof body.error === "string" ? body.error : "the server gives no reason";
  const code = typeof body.code === "string" ? body.code : "internal";
  const hint = typeof body.hint === "string" ? body.hint : undefined;
  const after = typeof body.retry_after_ms === "number" ? body.retry_after_ms : retryAfterMs;
  return errorFor(code, message, { hint, retryAfterMs: after }, status);
}

/** Builds the error of an answer whose status is not 200. */
export function errorFromRefusal(status: number, retryAfter: string | null, text: string) {
  const after = retryAfterMs(retryAfter);
  const body = errorBodyOf(text);
  if (body !== undefined) {
    return errorFromBody(body, status, after);
  }
  const shown = text.slice(0, SHOWN_CHARACTERS);
  const message = `the answer has status ${status} and no error of Shoal: '${shown}'`;
  const Kind = STATUSES_OF_PROXIES.has(status) ? kinds.UnreachableError : kinds.AnswerError;
  return new Kind(message, { retryAfterMs: after });
}

function errorBodyOf(text: string): ErrorBody | undefined {
  try {
    const body: unknown = JSON.parse(text);
    const error = typeof body === "object" && body !== null ? (body as ErrorBody) : {};
    return typeof error.code === "string" ? error : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) {
      return undefined;
    }
    throw error;
  }
}

function kindOfStatus(status: number | undefined): Kind {
  if (status === undefined) {
    return kinds.InternalError;
  }
  const isCallers = status >= 400 && status < 500;
  return KIND_OF_STATUS.get(status) ?? (isCallers ? kinds.InputError : kinds.InternalError);
}

/** The header `Retry-After` in milliseconds; undefined where it is not there, or is no number. */
function retryAfterMs(header: string | null): number | undefined {
  return header !== null && /^\d{1,9}$/u.test(header.trim()) ? Number(header) * 1000 : undefined;
}
