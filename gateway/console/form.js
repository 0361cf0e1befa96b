/**
 * A form made of a JSON Schema, and the value that was entered.
 *
 * Knows objects, lists, enumerations, alternatives, numbers, texts, yes and no, and files as base64. What it doesn't
 * know, it asks for as JSON.
 */

import { parse, stringify } from "../client.js";

let lastId = 0;
/** Forms within forms; what lies deeper is opened on demand. */
const DEPTH_MAX = 6;

/** Makes an element. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) {
      made.addEventListener(key.slice(2), value);
    } else if (value === true) {
      made.setAttribute(key, "");
    } else if (value !== false && value !== undefined && value !== null) {
      made.setAttribute(key, value);
    }
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A problem with an input, shown beside it. */
export class Problem extends Error {
  constructor(message, input) {
    super(message);
    this.input = input;
  }
}

/** The form for a function's arguments: an element, and `read()`, which gives the value or throws a `Problem`. */
export function form(schema) {
  const context = { root: schema, within: [] };
  const resolved = resolve(context, schema ?? {});
  if (isEmptyObject(resolved)) {
    return { element: element("p", { class: "quiet" }, "It takes no arguments."), read: () => ({}) };
  }
  const field = editor(context, resolved, { label: "Arguments", isRoot: true });
  return { element: field.element, read: () => field.read() ?? {} };
}

function isEmptyObject(schema) {
  return typeOf(schema) === "object" && Object.keys(schema.properties ?? {}).length === 0 && !schema.additionalProperties && !choices(schema);
}

/** Which part of the schema a merged one was referred to as. */
const ORIGIN = Symbol("origin");

/** Follows `$ref`, and merges what stands beside it; one `allOf` is what `$ref` with a description used to be. */
function resolve({ root }, schema, depth = 0) {
  if (typeof schema !== "object" || schema === null || depth > 20) {
    return {};
  }
  let merged = schema;
  if (typeof schema.$ref === "string" && schema.$ref.startsWith("#")) {
    const path = schema.$ref.slice(1).split("/").filter(Boolean).map((part) => decodeURIComponent(part).replace(/~1/g, "/").replace(/~0/g, "~"));
    const target = path.reduce((at, part) => at?.[part], root);
    const { $ref, ...beside } = schema;
    merged = { ...resolve({ root }, target, depth + 1), ...beside, [ORIGIN]: target };
  }
  if (Array.isArray(merged.allOf) && merged.allOf.length === 1) {
    const { allOf: [only], ...beside } = merged;
    merged = { ...resolve({ root }, only, depth + 1), ...beside };
  }
  return merged;
}

function typeOf(schema) {
  const types = [schema.type].flat().filter((type) => type && type !== "null");
  if (types.length === 1) {
    return types[0];
  }
  if (types.length === 0 && schema.properties) {
    return "object";
  }
  return null;
}

/** The alternatives of a schema, without `null`: leaving a field empty says that. */
function choices(schema) {
  const all = schema.oneOf ?? schema.anyOf;
  return Array.isArray(all) ? all.filter((one) => one.type !== "null") : null;
}

function constants(context, schema) {
  if (Array.isArray(schema.enum)) {
    return schema.enum.filter((value) => value !== null).map((value) => ({ value }));
  }
  const all = choices(schema)?.map((one) => resolve(context, one));
  if (all?.length && all.every((one) => "const" in one || (one.enum?.length === 1))) {
    return all.map((one) => ({ value: "const" in one ? one.const : one.enum[0], description: one.description }));
  }
  // Plain names beside such that have a description.
  if (all?.length && all.every((one) => "const" in one || one.enum)) {
    return all.flatMap((one) => ("const" in one ? [{ value: one.const, description: one.description }] : one.enum.map((value) => ({ value }))));
  }
  return null;
}

/** The part of the form for one value. `read()` gives undefined where nothing was entered. */
function editor(context, given, options) {
  const schema = resolve(context, given);
  const origin = schema[ORIGIN];
  const isAgain = origin !== undefined && context.within.includes(origin);
  if (isAgain || context.within.length >= DEPTH_MAX) {
    return onDemand({ ...context, within: [] }, schema, options);
  }
  const within = origin === undefined ? context.within : [...context.within, origin];
  return editorOf({ ...context, within }, schema, options);
}

/** A part that may hold itself, and is made only when it is wanted. */
function onDemand(context, schema, { label, required = false }) {
  let part = null;
  const made = element("details", { class: "more" }, element("summary", { class: required ? "required" : undefined }, label));
  const make = () => {
    part = editorOf({ ...context, within: [schema[ORIGIN]] }, schema, { label, required });
    made.append(part.element);
  };
  made.addEventListener("toggle", () => {
    if (made.open && !part) {
      make();
    }
  });
  return {
    element: made,
    read() {
      if (!part && required) {
        make();
      }
      return part?.read();
    },
    isTouched: () => part?.isTouched?.() ?? false,
  };
}

function editorOf(context, schema, { label, isRoot = false, required = false }) {
  const options = constants(context, schema);
  if (options) {
    return select(schema, options, label, required);
  }
  const alternatives = choices(schema);
  if (alternatives?.length === 1) {
    const { anyOf, oneOf, ...beside } = schema;
    return editor(context, { ...resolve(context, alternatives[0]), ...beside }, { label, isRoot, required });
  }
  if (alternatives) {
    return choice(context, schema, alternatives, label, required);
  }
  switch (typeOf(schema)) {
    case "object":
      return schema.properties ? object(context, schema, label, isRoot, required) : json(schema, label, required, "{}");
    case "array":
      return list(context, schema, label, required);
    case "boolean":
      return checkbox(schema, label, required);
    case "integer":
    case "number":
      return number(schema, label, required);
    case "string":
      return isFile(schema, label) ? file(schema, label, required) : text(schema, label, required);
    default:
      return json(schema, label, required, "");
  }
}

function isFile(schema, label) {
  return schema.contentEncoding === "base64" || schema.format === "byte" || /(^|_)base64$/.test(label);
}

function field(schema, label, required, make) {
  const id = `f${(lastId += 1)}`;
  const hintId = `${id}-hint`;
  const problemId = `${id}-problem`;
  const { example, text } = hints(schema);
  const hasHint = text || example !== undefined;
  const input = make(id, { "aria-describedby": hasHint ? `${hintId} ${problemId}` : problemId, "aria-required": required ? "true" : undefined });
  const hint = hasHint ? element("p", { class: "hint", id: hintId }, ...marked(text), example !== undefined ? element("span", {}, text ? " For example " : "For example ", element("code", {}, example)) : "") : null;
  const problem = element("p", { class: "problem", id: problemId });
  input.problemElement = problem;
  input.addEventListener("input", () => clearProblem(input));
  const name = element("label", { for: id, class: required ? "required" : undefined }, label);
  return { input, element: element("div", { class: "field" }, name, hint, input, problem) };
}

/** Shows a problem where it belongs. */
export function showProblem(input, message) {
  input.setAttribute("aria-invalid", "true");
  if (input.problemElement) {
    input.problemElement.textContent = message;
  }
  // A field that is folded away can't be corrected.
  for (let at = input.closest("details"); at; at = at.parentElement?.closest("details")) {
    at.open = true;
  }
  input.focus();
}

function clearProblem(input) {
  input.removeAttribute("aria-invalid");
  if (input.problemElement) {
    input.problemElement.textContent = "";
  }
}

function hints(schema) {
  const examples = [schema.examples ?? []].flat();
  const first = examples.find((example) => example !== null);
  let example = first === undefined ? undefined : typeof first === "string" ? first : JSON.stringify(first);
  if (example !== undefined && example.length > 160) {
    example = `${example.slice(0, 160)}…`;
  }
  return { text: (schema.description ?? "").trim(), example };
}

/** Text in which `this` is code. */
function marked(text) {
  return (text ?? "").split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part)).filter((part) => part !== "");
}

export { marked };

function missing(input, label) {
  return new Problem(`${label} is needed.`, input);
}

function text(schema, label, required) {
  const isLong = (schema.maxLength ?? Infinity) > 200 && /(^|_)(text|contents?|body|html|message|query|sql|template|description)$/i.test(label);
  const made = field(schema, label, required, (id, aria) =>
    isLong ? element("textarea", { id, ...aria, rows: 5, spellcheck: "false" }) : element("input", { id, ...aria, type: "text", autocomplete: "off", spellcheck: "false", placeholder: placeholder(schema) }));
  return {
    element: made.element,
    read() {
      const { value } = made.input;
      if (value === "" && !required) {
        return undefined;
      }
      if (value === "" && schema.minLength > 0) {
        throw missing(made.input, label);
      }
      if (schema.pattern && !new RegExp(schema.pattern, "u").test(value)) {
        throw new Problem(`${label} doesn't have the form that is wanted.`, made.input);
      }
      return value;
    },
    isTouched: () => made.input.value !== "",
  };
}

function placeholder(schema) {
  return schema.default === undefined || schema.default === null ? undefined : typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default);
}

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

function number(schema, label, required) {
  const isInteger = typeOf(schema) === "integer";
  const made = field(schema, label, required, (id, aria) =>
    element("input", { id, ...aria, type: "text", inputmode: isInteger ? "numeric" : "decimal", autocomplete: "off", placeholder: placeholder(schema) }));
  return {
    element: made.element,
    read() {
      const value = made.input.value.trim();
      if (value === "") {
        if (required) {
          throw missing(made.input, label);
        }
        return undefined;
      }
      const number = Number(value);
      if (!Number.isFinite(number) || !JSON_NUMBER.test(value) || (isInteger && !Number.isInteger(number))) {
        throw new Problem(`${label} has to be a ${isInteger ? "whole number" : "number"}.`, made.input);
      }
      if (schema.minimum !== undefined && number < schema.minimum) {
        throw new Problem(`${label} has to be at least ${schema.minimum}.`, made.input);
      }
      if (schema.maximum !== undefined && number > schema.maximum) {
        throw new Problem(`${label} has to be at most ${schema.maximum}.`, made.input);
      }
      // With all its digits, of which JavaScript may hold fewer.
      return parse(value);
    },
    isTouched: () => made.input.value.trim() !== "",
  };
}

function checkbox(schema, label, required) {
  const id = `f${(lastId += 1)}`;
  const before = schema.default === true;
  const input = element("input", { id, type: "checkbox", checked: before, "aria-describedby": `${id}-hint` });
  const { text } = hints(schema);
  const hint = element("p", { class: "hint", id: `${id}-hint` }, ...marked(text));
  return {
    element: element("div", { class: "field" }, input, " ", element("label", { for: id }, label), hint),
    read: () => (input.checked === before && !required ? undefined : input.checked),
    isTouched: () => input.checked !== before,
  };
}

function select(schema, options, label, required) {
  const made = field(schema, label, required, (id, aria) => {
    const empty = element("option", { value: "" }, required ? "Choose…" : schema.default !== undefined && schema.default !== null ? `${plain(schema.default)} (default)` : "—");
    const rest = options.map(({ value, description }, index) =>
      element("option", { value: String(index) }, description ? `${plain(value)} – ${description.replace(/`/g, "")}` : plain(value)));
    return element("select", { id, ...aria }, empty, ...rest);
  });
  return {
    element: made.element,
    read() {
      if (made.input.value === "") {
        if (required) {
          throw missing(made.input, label);
        }
        return undefined;
      }
      return options[Number(made.input.value)].value;
    },
    isTouched: () => made.input.value !== "",
  };
}

function plain(value) {
  return typeof value === "string" ? value : stringify(value);
}

/** A file, which goes into the request as base64. */
function file(schema, label, required) {
  const made = field(schema, label, required, (id, aria) => element("input", { id, ...aria, type: "file" }));
  const state = element("p", { class: "hint", role: "status" });
  made.element.append(state);
  let content;
  let reading = false;
  made.input.addEventListener("change", async () => {
    const [chosen] = made.input.files;
    content = undefined;
    state.textContent = "";
    reading = Boolean(chosen);
    if (!chosen) {
      return;
    }
    const read = await base64(chosen).catch(() => null);
    if (made.input.files[0] !== chosen) {
      // Another one was chosen meanwhile.
      return;
    }
    reading = false;
    if (read === null) {
      showProblem(made.input, "The file can't be read.");
    } else {
      content = read;
      state.textContent = `${chosen.name}, ${size(chosen.size)}`;
    }
  });
  return {
    element: made.element,
    read() {
      if (reading) {
        throw new Problem("The file is still being read; try again in a moment.", made.input);
      }
      if (content === undefined && required) {
        throw missing(made.input, label);
      }
      return content;
    },
    isTouched: () => made.input.files.length > 0,
  };
}

function base64(chosen) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(chosen);
  });
}

/** A number of bytes, for people. */
export function size(bytes) {
  if (bytes < 1000) {
    return `${bytes} bytes`;
  }
  const unit = bytes < 1e6 ? [1e3, "kB"] : [1e6, "MB"];
  return `${(bytes / unit[0]).toFixed(bytes / unit[0] < 10 ? 1 : 0)} ${unit[1]}`;
}

function json(schema, label, required, empty) {
  const made = field(schema, label, required, (id, aria) =>
    element("textarea", { id, ...aria, class: "mono", rows: 3, spellcheck: "false", placeholder: `JSON${empty ? `, like ${empty}` : ""}` }));
  return {
    element: made.element,
    read() {
      const value = made.input.value.trim();
      if (value === "") {
        if (required) {
          throw missing(made.input, label);
        }
        return undefined;
      }
      try {
        return parse(value);
      } catch (error) {
        throw new Problem(`That is not JSON: ${error.message}`, made.input);
      }
    },
    isTouched: () => made.input.value.trim() !== "",
  };
}

function object(context, schema, label, isRoot, required) {
  const wanted = new Set(schema.required ?? []);
  const parts = Object.entries(schema.properties).map(([name, part]) => ({
    name,
    isWanted: wanted.has(name),
    ...editor(context, part, { label: name, required: wanted.has(name) }),
  }));
  // Required fields come first. If there are many others, these are folded away.
  const needed = parts.filter((part) => part.isWanted);
  const others = parts.filter((part) => !part.isWanted);
  const FOLDED_FROM = 6;
  const folds = needed.length > 0 && others.length >= FOLDED_FROM;
  const rest = folds
    ? [element("details", { class: "more" }, element("summary", {}, `${others.length} more`), ...others.map((part) => part.element))]
    : others.map((part) => part.element);
  const children = [...needed.map((part) => part.element), ...rest];
  const { text } = hints(schema);
  const made = isRoot
    ? element("div", {}, ...children)
    : element("fieldset", {}, element("legend", { class: required ? "required" : undefined }, label), text ? element("p", { class: "hint" }, ...marked(text)) : null, ...children);
  const isTouched = () => parts.some((part) => part.isTouched?.());
  return {
    element: made,
    isTouched,
    read() {
      const value = {};
      for (const { name, read } of parts.filter((part) => !part.isWanted)) {
        const part = read();
        if (part !== undefined) {
          value[name] = part;
        }
      }
      // An optional part that is left empty needs none of its required fields.
      if (isRoot || required || isTouched()) {
        for (const { name, read } of needed) {
          const part = read();
          if (part !== undefined) {
            value[name] = part;
          }
        }
      }
      return Object.keys(value).length > 0 || required || isRoot ? value : undefined;
    },
  };
}

function list(context, schema, label, required) {
  const items = [];
  const body = element("div");
  const legend = element("legend", { class: required ? "required" : undefined }, label);
  const { text, example } = hints(schema);
  const hint = text || example ? element("p", { class: "hint" }, ...marked(text), example ? element("span", {}, " For example ", element("code", {}, example)) : "") : null;
  const add = (focus) => {
    const item = editor(context, schema.items ?? {}, { label: `${label} ${items.length + 1}`, required: true });
    const row = element("div", { class: "item" }, item.element);
    const remove = element("button", { type: "button", class: "small", "aria-label": `Remove this entry of ${label}`, onclick: () => {
      items.splice(items.indexOf(entry), 1);
      row.remove();
      more.focus();
    } }, "Remove");
    row.append(remove);
    const entry = { item, row };
    items.push(entry);
    body.append(row);
    if (focus) {
      row.querySelector("input, select, textarea")?.focus();
    }
  };
  const more = element("button", { type: "button", class: "small", onclick: () => add(true) }, `Add to ${label}`);
  if (required) {
    add(false);
  }
  return {
    element: element("fieldset", {}, legend, hint, body, element("div", { class: "actions" }, more)),
    read() {
      const value = items.map(({ item }) => item.read()).filter((item) => item !== undefined);
      return value.length > 0 || required ? value : undefined;
    },
    isTouched: () => items.some(({ item }) => item.isTouched?.()) || (!required && items.length > 0),
  };
}

/** One of several forms that a value may have. */
function choice(context, schema, alternatives, label, required) {
  const name = `c${(lastId += 1)}`;
  const resolved = alternatives.map((one) => resolve(context, one));
  const body = element("div");
  let current = null;
  const pick = (index) => {
    const one = resolved[index];
    const inner = { ...one };
    if (one.description === schema.description) {
      delete inner.description;
    }
    current = editor(context, inner, { label: shortName(one, label), required });
    body.replaceChildren(current.element);
  };
  const radios = resolved.map((one, index) => {
    const input = element("input", { type: "radio", name, value: index, checked: index === 0, onchange: () => pick(index) });
    return element("label", {}, input, describe(one));
  });
  pick(0);
  const { text } = hints(schema);
  return {
    element: element("fieldset", {}, element("legend", { class: required ? "required" : undefined }, label), text ? element("p", { class: "hint" }, ...marked(text)) : null, element("div", { class: "choice" }, ...radios), body),
    read: () => current.read(),
    isTouched: () => current.isTouched?.() ?? false,
  };
}

/** What to call one of several forms. */
function describe(schema) {
  if (schema.title) {
    return schema.title;
  }
  const keys = Object.keys(schema.properties ?? {});
  if (typeOf(schema) === "object" && keys.length > 0) {
    return keys.length === 1 ? (/base64$/.test(keys[0]) ? "a file" : keys[0]) : "an object";
  }
  const names = { string: "a text", integer: "a number", number: "a number", boolean: "yes or no", array: "a list", object: "an object" };
  return names[typeOf(schema)] ?? (schema.const !== undefined ? plain(schema.const) : schema.enum ? "one of a list" : "JSON");
}

function shortName(schema, label) {
  return typeOf(schema) === "object" ? describe(schema) : label;
}
