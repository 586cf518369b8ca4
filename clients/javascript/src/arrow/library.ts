/** The library `apache-arrow`, which is loaded when an encoding asks for it. */

import { RequirementError } from "../errors/kinds.js";

/** What the library exports. */
export type Arrow = typeof import("apache-arrow");

/** Loads the library. Throws a `RequirementError` where it is not installed. */
export async function loadLibrary(): Promise<Arrow> {
  try {
    return await import("apache-arrow");
  } catch (cause) {
    const hint = "npm install apache-arrow, or take the encoding json";
    throw new RequirementError("the package apache-arrow is not installed", { hint, cause });
  }
}
