/**
 * Fields for single values.
 *
 * Each is an `element`, with `read()`, which gives what was entered, undefined where that is nothing, or throws a
 * `Problem`; `draft()`, which gives what can be shown to others, right or not; `fill(value)`, which says whether the
 * value fits; and `isTouched()`.
 */

import { parse, stringify } from "../../client.js";
import { element, marked } from "../dom.js";
import { hints, plain, typeOf } from "./schema.js";

let lastId = 0;

/** An id that no other element has. */
export function newId() {
  return `f${(lastId += 1)}`;
}

/** A problem with an input, shown beside it. */
export class Problem extends Error {
  constructor(message, input) {
    super(message);
    this.input = input;
  }
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

/** A label, a hint, the input that `make` gives, and room for a problem. */
export function field(schema, label, required, make) {
  const id = newId();
  const hintId = `${id}-hint`;
  const problemId = `${id}-problem`;
  const hint = hintOf(schema, hintId);
  const input = make(id, { "aria-describedby": hint ? `${hintId} ${problemId}` : problemId, "aria-required": required ? "true" : undefined });
  const problem = element("p", { class: "problem", id: problemId });
  input.problemElement = problem;
  input.addEventListener("input", () => clearProblem(input));
  const name = element("label", { for: id, class: required ? "required" : undefined }, label);
  return { input, element: element("div", { class: "field" }, name, hint, input, problem) };
}

/** What a schema says of itself, for people; null if that is nothing. */
export function hintOf(schema, id) {
  const { text, example } = hints(schema);
  if (!text && example === undefined) {
    return null;
  }
  const shown = example === undefined ? null : element("span", {}, text ? " For example " : "For example ", element("code", {}, example));
  return element("p", { class: "hint", id }, ...marked(text), shown);
}

export function missing(input, label) {
  return new Problem(`${label} is needed.`, input);
}

/** Adds `draft()`: what was entered, if it is right and for everybody's eyes. */
export function single(part, isPrivate = false) {
  return {
    ...part,
    draft() {
      try {
        return isPrivate ? undefined : part.read();
      } catch (error) {
        if (error instanceof Problem) {
          return undefined;
        }
        throw error;
      }
    },
  };
}

/** Puts a text into an input, as if it had been typed. */
export function put(input, text) {
  input.value = text;
  input.dispatchEvent(new Event("input", { bubbles: true }));
}

const TYPES = { date: "date", email: "email", uri: "url", password: "password" };

export function text(schema, label, required) {
  const isSecret = schema.format === "password" || schema.writeOnly === true;
  const isLong = !isSecret && (schema.maxLength ?? Infinity) > 200 && /(^|_)(text|contents?|body|html|message|query|sql|template|description)$/i.test(label);
  const type = isSecret ? "password" : (TYPES[schema.format] ?? "text");
  const made = field(schema, label, required, (id, aria) =>
    isLong ? element("textarea", { id, ...aria, rows: 5, spellcheck: "false" }) : element("input", { id, ...aria, type, autocomplete: isSecret ? "new-password" : "off", spellcheck: "false", placeholder: placeholder(schema) }));
  const { input } = made;
  return single({
    element: made.element,
    read() {
      const { value } = input;
      if (value === "" && (!required || schema.minLength > 0 || type === "date")) {
        if (required) {
          throw missing(input, label);
        }
        return undefined;
      }
      if (schema.pattern && !new RegExp(schema.pattern, "u").test(value)) {
        throw new Problem(`${label} doesn't have the form that is wanted.`, input);
      }
      return value;
    },
    fill(value) {
      if (typeof value !== "string") {
        return false;
      }
      put(input, value);
      // Some types hold only what is of their form.
      return input.value === value;
    },
    isTouched: () => input.value !== "",
  }, isSecret);
}

function placeholder(schema) {
  return schema.default === undefined || schema.default === null ? undefined : plain(schema.default);
}

/** What stands in a field, without the spaces around it; `undefined` where nothing does, and nothing need. */
function entered(input, label, required) {
  const value = input.value.trim();
  if (value === "" && required) {
    throw missing(input, label);
  }
  return value === "" ? undefined : value;
}

/** What JSON has as a number. */
export const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

export function number(schema, label, required) {
  const isInteger = typeOf(schema) === "integer";
  const { input, element: made } = field(schema, label, required, (id, aria) =>
    element("input", { id, ...aria, type: "text", inputmode: isInteger ? "numeric" : "decimal", autocomplete: "off", placeholder: placeholder(schema) }));
  return single({
    element: made,
    read() {
      const value = entered(input, label, required);
      if (value === undefined) {
        return undefined;
      }
      const number = Number(value);
      if (!Number.isFinite(number) || !JSON_NUMBER.test(value) || (isInteger && !Number.isInteger(number))) {
        throw new Problem(`${label} has to be a ${isInteger ? "whole number" : "number"}.`, input);
      }
      if (schema.minimum !== undefined && number < schema.minimum) {
        throw new Problem(`${label} has to be at least ${schema.minimum}.`, input);
      }
      if (schema.maximum !== undefined && number > schema.maximum) {
        throw new Problem(`${label} has to be at most ${schema.maximum}.`, input);
      }
      // With all its digits, of which JavaScript may hold fewer.
      return parse(value);
    },
    fill(value) {
      const written = stringify(value);
      const fits = written !== undefined && JSON_NUMBER.test(written);
      if (fits) {
        put(input, written);
      }
      return fits;
    },
    isTouched: () => input.value.trim() !== "",
  });
}

export function checkbox(schema, label, required) {
  const id = newId();
  const before = schema.default === true;
  const hint = hintOf({ description: schema.description }, `${id}-hint`);
  const input = element("input", { id, type: "checkbox", checked: before, "aria-describedby": hint ? `${id}-hint` : undefined });
  return single({
    element: element("div", { class: "field check" }, input, " ", element("label", { for: id }, label), hint),
    read: () => (input.checked === before && !required ? undefined : input.checked),
    fill(value) {
      input.checked = value === true;
      return typeof value === "boolean";
    },
    isTouched: () => input.checked !== before,
  });
}

export function select(schema, options, label, required) {
  const { input, element: made } = field(schema, label, required, (id, aria) => {
    const empty = element("option", { value: "" }, required ? "Choose…" : schema.default !== undefined && schema.default !== null ? `${plain(schema.default)} (default)` : "—");
    const rest = options.map(({ value, description }, index) =>
      element("option", { value: String(index) }, description ? `${plain(value)} – ${description.replace(/`/g, "")}` : plain(value)));
    return element("select", { id, ...aria }, empty, ...rest);
  });
  return single({
    element: made,
    read() {
      if (input.value === "") {
        if (required) {
          throw missing(input, label);
        }
        return undefined;
      }
      return options[Number(input.value)].value;
    },
    fill(value) {
      const index = options.findIndex((option) => stringify(option.value) === stringify(value));
      if (index >= 0) {
        put(input, String(index));
      }
      return index >= 0;
    },
    isTouched: () => input.value !== "",
  });
}

/** Whatever the form has no field for. */
export function json(schema, label, required, empty) {
  const { input, element: made } = field(schema, label, required, (id, aria) =>
    element("textarea", { id, ...aria, class: "mono", rows: 3, spellcheck: "false", placeholder: `JSON${empty ? `, like ${empty}` : ""}` }));
  return single({
    element: made,
    read() {
      const value = entered(input, label, required);
      if (value === undefined) {
        return undefined;
      }
      try {
        return parse(value);
      } catch (error) {
        throw new Problem(`That is not JSON: ${error.message}`, input);
      }
    },
    fill(value) {
      put(input, stringify(value, 2));
      return true;
    },
    isTouched: () => input.value.trim() !== "",
  });
}
