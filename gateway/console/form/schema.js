/** What a JSON Schema says of one value, as far as a form needs it. */

import { stringify } from "../../client.js";

/** Marks what most requests use; the form shows it first and folds the rest away. */
const PRIMARY = "x-primary";

/** Which part of the schema a merged one was referred to as. */
export const ORIGIN = Symbol("origin");

/** Follows `$ref`, and merges what stands beside it; one `allOf` is what `$ref` with a description used to be. */
export function resolve({ root }, schema, depth = 0) {
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

export function typeOf(schema) {
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
export function choices(schema) {
  const all = schema.oneOf ?? schema.anyOf;
  return Array.isArray(all) ? all.filter((one) => one.type !== "null") : null;
}

/** The values of an enumeration; null if it is none. */
export function constants(context, schema) {
  if (Array.isArray(schema.enum)) {
    return schema.enum.filter((value) => value !== null).map((value) => ({ value }));
  }
  const all = choices(schema)?.map((one) => resolve(context, one));
  // Plain names may stand beside such that have a description.
  if (all?.length && all.every((one) => "const" in one || one.enum)) {
    return all.flatMap((one) => ("const" in one ? [{ value: one.const, description: one.description }] : one.enum.map((value) => ({ value, description: one.enum.length === 1 ? one.description : undefined }))));
  }
  return null;
}

/** The schema of an object's values, whatever their names; null if it names its properties. */
export function valuesOf(schema) {
  const isMap = typeOf(schema) === "object" && !schema.properties && typeof schema.additionalProperties === "object";
  return isMap ? schema.additionalProperties : null;
}

export function isEmptyObject(schema) {
  return typeOf(schema) === "object" && Object.keys(schema.properties ?? {}).length === 0 && !schema.additionalProperties && !choices(schema);
}

/** Whether a list's entries are objects, whose properties are columns. */
export function areRows(items) {
  return typeOf(items) === "object" && !choices(items);
}

/** Whether any names may be properties. */
export function isFree(schema) {
  return Object.keys(schema.properties ?? {}).length === 0;
}

/** Whether it is a file's content, as base64. */
export function isFile(schema, label) {
  return typeOf(schema) === "string" && (schema.contentEncoding === "base64" || schema.format === "byte" || /(^|_)base64$/.test(label));
}

export function isPrimary(schema) {
  return schema?.[PRIMARY] === true;
}

/** What it says of itself, and the first of its examples. */
export function hints(schema) {
  const examples = [schema.examples ?? []].flat();
  const first = examples.find((example) => example !== null);
  let example = first === undefined ? undefined : typeof first === "string" ? first : stringify(first);
  if (example !== undefined && example.length > 160) {
    example = `${example.slice(0, 160)}…`;
  }
  return { text: (schema.description ?? "").trim(), example };
}

/** A value, as a person would write it. */
export function plain(value) {
  return typeof value === "string" ? value : stringify(value);
}

/** What to call one of several forms. */
export function nameOf(context, schema) {
  if (schema.title) {
    return schema.title;
  }
  const keys = Object.keys(schema.properties ?? {});
  if (typeOf(schema) === "object" && keys.length === 1) {
    return isFile(resolve(context, schema.properties[keys[0]]), keys[0]) ? "a file" : keys[0];
  }
  const names = { string: "a text", integer: "a number", number: "a number", boolean: "yes or no", array: "a list", object: "an object" };
  return names[typeOf(schema)] ?? (schema.const !== undefined ? plain(schema.const) : schema.enum ? "one of a list" : "JSON");
}
