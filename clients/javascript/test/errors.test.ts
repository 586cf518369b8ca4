/** Errors: generated from the catalogue, drawn as a tree, found by their code. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { CATALOGUE } from "../src/errors/catalogue.js";
import * as shoal from "../src/index.js";
import { generated } from "../tools/write_errors.js";

test("the files are what the catalogue of the protocol and the tree of errors say", () => {
  for (const [path, text] of generated()) {
    const found = readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
    assert.equal(found, text, `${path}: run npm run generate`);
  }
});

test("nothing else is public than this, beside the classes of errors", () => {
  const names = Object.entries(shoal).flatMap(([name, value]) => {
    const isError = typeof value === "function" && value.prototype instanceof shoal.ShoalError;
    return isError ? [] : [name];
  });
  const expected = [
    "Client",
    "Column",
    "Merged",
    "Result",
    "Results",
    "ShoalError",
    "Table",
    "column",
  ];
  assert.deepEqual(names.sort(), expected);
});

test("every code has one class, and every class stands below its group", () => {
  const kinds = Object.values(shoal).filter(
    (value) => typeof value === "function" && value.prototype instanceof shoal.ShoalError,
  ) as (typeof shoal.ShoalError)[];
  assert.deepEqual(kinds.map(({ code }) => code).sort(), [...CATALOGUE.keys()].sort());
  assert.ok(new shoal.DtypeError("x") instanceof shoal.InputError);
  assert.ok(new shoal.OutOfReachError("x") instanceof shoal.OverloadedError);
});

test("an error says its name, its hint, and whether it may be tried again", () => {
  const error = new shoal.OverloadedError("the queue is full", { hint: "wait", retryAfterMs: 5 });
  assert.equal(String(error), "OverloadedError: the queue is full");
  assert.equal(error.render(), "the queue is full\nhint: wait");
  assert.equal(error.isRetryable, true);
  assert.equal(new shoal.ModelError("x").isRetryable, false);
  assert.equal(new shoal.InternalError("x", { code: "new" }).isRetryable, false);
  assert.equal(new shoal.InternalError("x", { code: "new", retryAfterMs: 1 }).isRetryable, true);
});
