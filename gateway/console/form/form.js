/**
 * A form made of a JSON Schema, and the value that was entered.
 *
 * Knows objects, lists, maps, rows, enumerations, alternatives, numbers, texts, yes and no, and files as base64. What it
 * doesn't know, it asks for as JSON.
 */

import { element } from "../dom.js";
import { Problem, checkbox, json, number, select, showProblem, text } from "./fields.js";
import { file } from "./file.js";
import { choice, list, map, object, onDemand, usual } from "./groups.js";
import { rows } from "./rows.js";
import { ORIGIN, areRows, choices, constants, isEmptyObject, isFile, isFree, isPrimary, resolve, typeOf, valuesOf } from "./schema.js";

export { Problem, showProblem };

/** Forms within forms; what lies deeper is opened on demand. */
const DEPTH_MAX = 6;

/**
 * The form for a function's arguments: an element; `read()`, which gives the value or throws a `Problem`; `draft()`,
 * which gives what of it is right and may be shown to others; and `fill(value)`, which says whether all of it fits.
 */
export function form(schema) {
  const context = { root: schema, within: [], editor };
  const resolved = resolve(context, schema ?? {});
  if (isEmptyObject(resolved)) {
    const isNothing = (value) => Object.keys(value ?? {}).length === 0;
    return { element: element("p", { class: "quiet" }, "It takes no arguments."), read: () => ({}), draft: () => ({}), fill: isNothing };
  }
  const part = editor(context, resolved, { label: "Arguments", isRoot: true });
  return { element: part.element, read: () => part.read() ?? {}, draft: () => part.draft() ?? {}, fill: (value) => part.fill(value) };
}

/** The part of the form for one value. */
function editor(context, given, options) {
  const schema = resolve(context, given);
  const origin = schema[ORIGIN];
  const isAgain = origin !== undefined && context.within.includes(origin);
  if (isAgain || context.within.length >= DEPTH_MAX) {
    return onDemand({ ...context, within: [] }, schema, options);
  }
  const within = origin === undefined ? context.within : [...context.within, origin];
  return editorOf({ ...context, within }, schema, { required: false, isRoot: false, ...options });
}

function editorOf(context, schema, options) {
  const { label, required } = options;
  const constant = constants(context, schema);
  if (constant) {
    return select(schema, constant, label, required);
  }
  const alternatives = choices(schema);
  if (alternatives?.length === 1) {
    const { anyOf, oneOf, [ORIGIN]: origin, ...beside } = schema;
    return editor(context, { ...resolve(context, alternatives[0]), ...beside }, options);
  }
  const mostUsed = alternatives?.find(isPrimary);
  if (mostUsed) {
    return usual(context, schema, mostUsed, alternatives, options);
  }
  if (alternatives) {
    return choice(context, schema, alternatives, options);
  }
  switch (typeOf(schema)) {
    case "object":
      return objectOf(context, schema, options);
    case "array":
      return listOf(context, schema, options);
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

function objectOf(context, schema, options) {
  if (schema.properties) {
    return object(context, schema, options);
  }
  const values = valuesOf(schema);
  return values ? map(context, schema, values, options) : json(schema, options.label, options.required, "{}");
}

function listOf(context, schema, options) {
  const items = resolve(context, schema.items ?? {});
  return areRows(items) && isFree(items) ? rows({ ...schema, items }, options.label, options.required) : list(context, schema, options);
}
