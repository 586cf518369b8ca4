/**
 * Headers of every request, checked when a client is made. Their values never stand in an error: they may be
 * secrets.
 *
 * What the client says itself - of keys, of what it sends and takes - no header of a caller says otherwise.
 *
 * Source: RFC 9110, 5.5 and 5.6.2.
 */

import { ConfigurationError } from "../errors/kinds.js";

/** Headers by their names. */
export type NamedHeaders = Readonly<Record<string, string>>;

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/u;
const VALUE = /^[\t\x20-\x7e]*$/u;
const KEY = /^[\x21-\x7e]+$/u;
const OWN: ReadonlySet<string> = new Set([
  "accept",
  "authorization",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "host",
  "transfer-encoding",
]);

/** The headers of a caller, by their names in small letters. Throws a `ConfigurationError`. */
export function checkedHeaders(headers: NamedHeaders): NamedHeaders {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [checkedName(name), checkedValue(value, name)]),
  );
}

function checkedName(name: string): string {
  if (!NAME.test(name)) {
    throw new ConfigurationError("a header has a name that HTTP does not allow");
  }
  const small = name.toLowerCase();
  if (OWN.has(small)) {
    const hint = small === "authorization" ? "give the key as apiKey" : undefined;
    throw new ConfigurationError(`the client sets the header '${small}' itself`, { hint });
  }
  return small;
}

function checkedValue(value: unknown, name: string): string {
  if (typeof value !== "string" || !VALUE.test(value)) {
    throw new ConfigurationError(`the header '${name}' has characters other than visible ASCII`);
  }
  return value;
}

/** The header of an API key; without one there is none. Throws a `ConfigurationError`. */
export function authorization(apiKey: string | undefined): NamedHeaders {
  if (apiKey === undefined) {
    return {};
  }
  if (!KEY.test(apiKey)) {
    throw new ConfigurationError("the API key has characters other than visible ASCII, or none");
  }
  return { authorization: `Bearer ${apiKey}` };
}
