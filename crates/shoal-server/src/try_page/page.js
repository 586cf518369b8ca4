/* A page on which a model is asked by hand: `POST /v1/tasks` of the server that the page comes from.
 *
 * - What the server and the user say becomes text of the page, never markup.
 * - The API key is held by this script while the page is open, and stored nowhere.
 * - The 64 tasks of "at once" are one envelope; their table is in it once, and they share it.
 * - A request takes the place of the one before, which is given up.
 */

import { PROGRAMS } from "./programs.js";
import { Problem, column, counted, kindOf, madeUp, product, read, shapeText } from "./values.js";

const MANY = 64;
const RECORDS_LIMIT = 20;
const FEATURES_LIMIT = 64; // more of them are asked for as one list
const TALL_LIST = 16; // values
const SHOWN_VALUES = 12;
const LONG_TEXT = 24; // characters
const SHOWN_BATCHES = 8;

const page = {};
for (const element of document.querySelectorAll("[id]")) page[element.id] = element;
let key = "";
let needsKey = false;
let models = [];
let records = [];
let recordsMade = 0;
let sending = new AbortController();

/** An element; attributes that are undefined or false are left out, children are texts and elements. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/* ---- the form ---- */

const chosenModel = () => models[page.model.selectedIndex];
const chosen = () => chosenModel().versions[page.version.selectedIndex];

function fieldsOf({ inputs }) {
  const areNamed = ({ features }) => features.length > 0 && features.length <= FEATURES_LIMIT;
  const named = (input) => input.features.map((name) => ({ ...input, name, shape: [], features: [] }));
  return inputs.flatMap((input) => (areNamed(input) ? named(input) : [input]));
}

function describe(field) {
  if (field.is_moment) return "moment, UTC";
  if (field.dtype === "MIXED") return 'any type; "7" is text';
  return field.shape.length > 0 ? `${field.dtype}, ${shapeText(field)} values` : field.dtype;
}

function inputFor(field, id) {
  const attributes = { id, "aria-describedby": `${id}-wrong` };
  const typed = { ...attributes, type: "text", autocomplete: "off", spellcheck: "false" };
  const kinds = {
    list: () => make("textarea", { ...attributes, rows: Math.abs(product(field.shape)) > TALL_LIST ? 4 : 2, spellcheck: "false" }),
    moment: () => make("input", { ...attributes, type: "datetime-local", step: "1", max: "9999-12-31T23:59:59" }),
    boolean: () => make("select", attributes, make("option", {}, "true"), make("option", {}, "false")),
    text: () => make("textarea", { ...attributes, rows: 1 }),
    mixed: () => make("input", typed),
    integer: () => make("input", { ...typed, inputmode: "numeric" }),
    number: () => make("input", { ...typed, inputmode: "decimal" }),
  };
  return kinds[kindOf(field)]();
}

/** One field of one record. */
class Control {
  constructor(field, id) {
    this.field = field;
    this.input = inputFor(field, id);
    this.isMissing = make("input", { type: "checkbox" });
    this.wrong = make("p", { class: "wrong", id: `${id}-wrong`, hidden: true });
    const words = [make("span", {}, field.name), make("span", { class: "soft" }, describe(field))];
    const missing = field.may_be_missing ? [make("label", { class: "check" }, this.isMissing, "missing")] : [];
    const width = kindOf(field) === "list" ? "field wide-field" : "field";
    this.element = make("div", { class: width }, make("label", { for: id }, ...words), this.input, ...missing, this.wrong);
    this.element.addEventListener("input", () => this.complain(""));
    this.isMissing.addEventListener("change", () => (this.input.disabled = this.isMissing.checked));
    this.fill();
  }

  fill() {
    this.input.value = madeUp(this.field);
    this.complain("");
  }

  complain(text) {
    this.wrong.textContent = text;
    this.wrong.hidden = !text;
    this.input.setAttribute("aria-invalid", String(Boolean(text)));
  }

  /** The cell, and the control itself with what is wrong. */
  read() {
    try {
      return this.isMissing.checked ? null : read(this.input.value, this.field);
    } catch (problem) {
      throw Object.assign(problem, { control: this });
    }
  }
}

function addRecord() {
  const id = (recordsMade += 1);
  const controls = fieldsOf(chosen()).map((field, at) => new Control(field, `record-${id}-${at}`));
  const remove = make("button", { type: "button", class: "quiet" }, "Remove");
  const head = make("div", { class: "head" }, make("h3"), remove);
  const fields = make("div", { class: "fields" }, ...controls.map((control) => control.element));
  const record = { controls, remove, element: make("div", { class: "record", role: "group" }, head, fields) };
  remove.addEventListener("click", () => dropRecord(record));
  records.push(record);
  page.records.append(record.element);
  numberRecords();
}

function dropRecord(record) {
  records = records.filter((one) => one !== record);
  record.element.remove();
  numberRecords();
  page.more.focus();
}

function numberRecords() {
  for (const [at, { element, remove }] of records.entries()) {
    element.querySelector("h3").textContent = `Record ${at + 1}`;
    element.setAttribute("aria-label", `Record ${at + 1}`);
    remove.setAttribute("aria-label", `Remove record ${at + 1}`);
    remove.hidden = records.length === 1;
  }
  page.more.disabled = records.length >= RECORDS_LIMIT;
  showProgram();
}

function chooseModel() {
  const { versions } = chosenModel();
  page.versions.hidden = versions.length === 1;
  page.version.replaceChildren(...versions.map(({ version }) => make("option", {}, version)));
  chooseVersion();
}

function chooseVersion() {
  sending.abort();
  records = [];
  page.records.replaceChildren();
  page.notice.replaceChildren();
  page.answer.hidden = true;
  addRecord();
}

/** The task that the form describes. What is wrong is said at its field where `complains`. */
function task({ complains }) {
  const columns = [];
  const wrong = [];
  for (const [at, first] of records[0].controls.entries()) {
    try {
      columns.push(column(first.field, records.map(({ controls }) => controls[at].read())));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      wrong.push({ control: problem.control ?? first, message: problem.message });
    }
  }
  if (complains) wrong.forEach(({ control, message }) => control.complain(message));
  if (complains) wrong[0]?.control.input.focus();
  if (wrong.length > 0) throw new Problem(`Not sent: ${counted(wrong.length, "field")} cannot be read.`);
  const version = chosenModel().versions.length > 1 ? { version: chosen().version } : {};
  return { model: chosenModel().name, ...version, table: { columns } };
}

function showProgram() {
  const language = new FormData(page.ask).get("language");
  try {
    page.program.textContent = PROGRAMS[language](task({ complains: false }), { origin: location.origin, needsKey });
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    page.program.textContent = problem.message;
  }
}

/* ---- asking the server ---- */

/** What the server answers: its JSON. A `Problem` says what it refused, and why. */
async function ask(path, body) {
  const typed = body === undefined ? {} : { "Content-Type": "application/json" };
  const headers = key ? { ...typed, "X-API-Key": key } : typed;
  const method = body === undefined ? "GET" : "POST";
  const response = await answered(fetch(path, { method, headers, body: JSON.stringify(body), signal: sending.signal, cache: "no-store" }));
  const text = await answered(response.text());
  const content = parsed(text, response.status);
  if (response.ok) return content;
  throw problemOf(content, response.headers.get("Retry-After"));
}

async function answered(promise) {
  try {
    return await promise;
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Problem("The server did not answer.", { hint: problem.message });
  }
}

function parsed(text, status) {
  try {
    return JSON.parse(text);
  } catch (problem) {
    if (!(problem instanceof SyntaxError)) throw problem;
    throw new Problem(`The answer is no JSON; its status is ${status}.`, { hint: text.slice(0, 200) });
  }
}

function problemOf({ error, code, hint, retry_after_ms: after }, seconds) {
  const wait = after === undefined ? seconds && `${seconds} s` : `${after} ms`;
  return new Problem(error, { code, hint, more: wait ? `Try again in ${wait}.` : "" });
}

/** Runs `work` in place of what ran before, and shows what goes wrong with it. */
async function attempt(work) {
  sending.abort();
  sending = new AbortController();
  const { signal } = sending;
  page.notice.replaceChildren();
  page.ask.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (problem) {
    if (problem.name === "AbortError") return;
    if (!(problem instanceof Problem)) throw problem;
    complain(problem);
  } finally {
    if (!signal.aborted) page.ask.removeAttribute("aria-busy");
  }
}

/** Says what is wrong, and asks for a key where that is it: the first time without a reproach. */
function complain(problem) {
  const isKey = problem.code === "unauthorized";
  const isFirst = isKey && !needsKey;
  needsKey ||= isKey;
  page.keys.hidden &&= !isKey;
  if (isFirst) page.key.focus();
  else page.notice.replaceChildren(trouble(problem));
}

async function timed(work) {
  const start = performance.now();
  const result = await work();
  return { result, took_ms: performance.now() - start };
}

const run = (body) => timed(() => ask("/v1/tasks", body));

function sendOne() {
  return attempt(async () => {
    page.answer.hidden = true;
    const { result, took_ms } = await run({ tasks: [task({ complains: true })] });
    const [only] = result.results;
    const problem = only.error && problemOf(only.error);
    await show(only, problem ? [trouble(problem)] : [tableOf(only.table)], took_ms);
  });
}

function sendMany() {
  return attempt(async () => {
    page.answer.hidden = true;
    const { table, ...rest } = task({ complains: true });
    const tasks = Array.from({ length: MANY }, () => ({ ...rest, table: "records" }));
    const { result, took_ms } = await run({ tables: { records: table }, tasks });
    const good = result.results.filter((one) => !one.error);
    const problems = result.results.filter((one) => one.error).map((one) => problemOf(one.error));
    const parts = [batchesOf(good), ...problems.slice(0, 1).map((one) => trouble(one, problems.length)), comparison({ ...rest, table }, took_ms)];
    if (good.length > 0) parts.push(make("p", { class: "caption" }, "The answer to the first of them"), tableOf(good[0].table));
    await show(good[0] ?? result.results[0], parts, took_ms);
  });
}

/** A button that sends the same 64 tasks as requests of their own. */
function comparison(single, envelope_ms) {
  const said = make("span", { class: "soft", role: "status" });
  const button = make("button", { type: "button" }, `The same as ${MANY} requests`);
  button.addEventListener("click", () =>
    attempt(async () => {
      const each = () => ask("/v1/tasks", { tasks: [single] });
      const { took_ms } = await timed(() => Promise.all(Array.from({ length: MANY }, each)));
      said.textContent = `${milliseconds(took_ms)}, beside ${milliseconds(envelope_ms)} in one envelope: ${(took_ms / envelope_ms).toFixed(1)} times as long`;
    }),
  );
  return make("div", { class: "compare" }, button, said);
}

/* ---- the answer ---- */

const milliseconds = (value) => `${value < 100 ? value.toPrecision(2) : Math.round(value)} ms`;

function trouble({ message, code, hint, more }, count = 1) {
  const named = code ? [make("code", {}, code), count > 1 ? `, ${count} times: ` : ": "] : [];
  const rest = [hint, more].filter(Boolean).map((text) => make("p", { class: "soft" }, text));
  return make("div", { class: "problem" }, make("p", {}, ...named, message), ...rest);
}

async function show(result, parts, took_ms) {
  const facts = [["Answered in", milliseconds(took_ms)]];
  if (result.error) {
    page.outcome.replaceChildren(factsOf(facts), ...parts);
  } else {
    const batching = await costsOf(result);
    facts.push(["Answered by", `${result.model}, version ${result.version}`], ["Its micro-batch", counted(result.batch_rows, "record")], ...batching.facts);
    page.outcome.replaceChildren(factsOf(facts), ...parts, ...batching.parts);
  }
  page.answer.hidden = false;
  page.status.textContent = result.error ? "The task failed." : `Answered in ${milliseconds(took_ms)}.`;
}

function factsOf(pairs) {
  return make("dl", { class: "facts" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** What the server has learned of the model's micro-batches, and the latest of them. */
async function costsOf({ model, version, batch_rows: rows }) {
  if (chosen().is_router) return { facts: [], parts: [] };
  const path = `/v2/models/${encodeURIComponent(model)}/versions/${encodeURIComponent(version)}/batching`;
  try {
    const { costs, recent } = await ask(path);
    return { facts: [["Typical time in the model", typical(costs, rows)]], parts: [latest(recent)] };
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return { facts: [], parts: [trouble(problem)] };
  }
}

function typical({ line, table }, rows) {
  const took_us = line ? line.per_call_us + line.per_row_us * rows : table.find((size) => size.rows === rows)?.took_us;
  return took_us === undefined ? "not known yet" : `about ${Math.round(took_us)} µs`;
}

function latest(recent) {
  const heads = ["Records", "Requests", "Waited", "Took", "Released because"].map((text) => make("th", {}, text));
  const row = ({ rows, requests, waited_us, service_us, reason }) =>
    make("tr", {}, ...[rows, requests, `${waited_us} µs`, `${service_us} µs`, reason.replaceAll("_", " ")].map((text) => make("td", {}, String(text))));
  const table = make("table", {}, make("tr", {}, ...heads), ...recent.slice(-SHOWN_BATCHES).reverse().map(row));
  return make("details", {}, make("summary", {}, "The latest micro-batches of this model"), make("div", { class: "answers" }, table));
}

/** Tasks by the micro-batches in which they travelled: how many those were follows from their size. */
function batchesOf(results) {
  const sizes = Map.groupBy(results, (one) => one.batch_rows);
  const boxes = [...sizes].flatMap(([size, its]) => {
    const batches = Math.ceil((its.length * records.length) / size);
    const share = Math.ceil(its.length / batches);
    return Array.from({ length: batches }, (_, at) => box(size, its.slice(at * share, (at + 1) * share)));
  });
  return make("ul", { class: "batches", "aria-label": counted(boxes.length, "micro-batch") }, ...boxes);
}

function box(size, tasks) {
  const squares = tasks.map(({ id }) => make("span", { title: `task ${id}` }));
  const title = `${counted(tasks.length, "task")} in a micro-batch of ${counted(size, "record")}`;
  return make("li", {}, make("p", {}, title), make("div", { class: "squares", "aria-hidden": "true" }, ...squares));
}

function tableOf({ columns }) {
  const rows = columns.length > 0 ? columns[0].data.length : 0;
  const head = columns.map(({ name, dtype, shape = [] }) =>
    make("th", {}, name, make("span", { class: "soft" }, shape.length > 0 ? `${dtype}, ${shape.join(" × ")}` : dtype)),
  );
  const body = Array.from({ length: rows }, (_, at) => make("tr", {}, ...columns.map(({ data }) => cellOf(data[at]))));
  return make("div", { class: "answers", tabindex: "0", role: "region", "aria-label": "Answer" }, make("table", {}, make("tr", {}, ...head), ...body));
}

function cellOf(value) {
  if (value === null) return make("td", { class: "absent" }, "missing");
  // What a number of a column of any type cannot say is an object of one field, from its dtype to its digits.
  if (!Array.isArray(value)) return cellOfOne(String(typeof value === "object" ? Object.values(value)[0] : value));
  const flat = value.flat(Infinity);
  const whole = make("code", {}, JSON.stringify(value).replaceAll(",", ", "));
  if (flat.length <= SHOWN_VALUES) return make("td", { class: "long" }, whole);
  const some = make("summary", {}, `${flat.slice(0, SHOWN_VALUES).join(", ")}, …`);
  return make("td", { class: "long" }, make("details", {}, some, whole));
}

function cellOfOne(text) {
  return make("td", text.length > LONG_TEXT ? { class: "long" } : {}, text);
}

/* ---- the beginning ---- */

async function load() {
  ({ models } = await ask("/docs/try/models.json"));
  page.keys.hidden = true;
  page.model.replaceChildren(...models.map(({ name }) => make("option", {}, name)));
  page.ask.hidden = models.length === 0;
  page.nothing.hidden = models.length > 0;
  const named = models.findIndex(({ name }) => new URL(`#${name}`, location.href).hash === location.hash);
  page.model.selectedIndex = Math.max(named, 0);
  if (models.length > 0) chooseModel();
}

page.model.addEventListener("change", chooseModel);
page.version.addEventListener("change", chooseVersion);
page.more.addEventListener("click", addRecord);
page.many.addEventListener("click", sendMany);
page.ask.addEventListener("input", showProgram);
page.fill.addEventListener("click", () => {
  records.flatMap(({ controls }) => controls).forEach((control) => control.fill());
  showProgram();
});
page.ask.addEventListener("submit", (event) => {
  event.preventDefault();
  sendOne();
});
page.keys.addEventListener("submit", (event) => {
  event.preventDefault();
  key = page.key.value.trim();
  attempt(load);
});
attempt(load);
