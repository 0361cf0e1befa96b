/** Parts of a form that hold others. `context.editor` makes these: what holds what is the schema's affair. */

import { element } from "../dom.js";
import { Problem, field, hintOf, newId } from "./fields.js";
import { pasting } from "./rows.js";
import { ORIGIN, areRows, hints, isFile, isFree, isPrimary, nameOf, resolve, typeOf } from "./schema.js";

/** Optional fields beside required ones are folded away from so many on. */
const FOLDED_FROM = 6;

function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function legendOf(label, required) {
  return element("legend", { class: required ? "required" : undefined }, label);
}

/** A part that may hold itself, and is made only when it is wanted. */
export function onDemand(context, schema, { label, required = false }) {
  let part = null;
  const made = element("details", { class: "more" }, element("summary", { class: required ? "required" : undefined }, label));
  const make = () => {
    part = context.editor({ ...context, within: [] }, schema, { label, required });
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
    draft: () => part?.draft(),
    fill(value) {
      if (!part) {
        make();
      }
      made.open = true;
      return part.fill(value);
    },
    isTouched: () => part?.isTouched() ?? false,
  };
}

export function object(context, schema, { label, isRoot, required }) {
  const wanted = new Set(schema.required ?? []);
  const parts = Object.entries(schema.properties).map(([name, part]) => ({
    name,
    isWanted: wanted.has(name),
    isFirst: wanted.has(name) || isPrimary(part),
    ...context.editor(context, part, { label: name, required: wanted.has(name) }),
  }));
  const { children, open } = laidOut(parts);
  const made = isRoot
    ? element("div", {}, ...children)
    : element("fieldset", {}, legendOf(label, required), hintOf({ description: schema.description }), ...children);
  const isTouched = () => parts.some((part) => part.isTouched());
  const collect = (how) => {
    const value = {};
    const add = (those) => {
      for (const part of those) {
        const entered = part[how]();
        if (entered !== undefined) {
          value[part.name] = entered;
        }
      }
    };
    add(parts.filter((part) => !part.isWanted));
    // An optional part that is left empty needs none of its required fields.
    if (isRoot || required || isTouched()) {
      add(parts.filter((part) => part.isWanted));
    }
    return Object.keys(value).length > 0 || required || isRoot ? value : undefined;
  };
  return {
    element: made,
    isTouched,
    read: () => collect("read"),
    draft: () => collect("draft"),
    fill(value) {
      if (!isObject(value)) {
        return false;
      }
      const fits = Object.entries(value).map(([name, entry]) => {
        const part = parts.find((one) => one.name === name);
        return entry === null || (part?.fill(entry) ?? false);
      });
      open(Object.keys(value));
      return fits.every(Boolean);
    },
  };
}

/** What is needed comes first, then what most requests use. The rest is folded away, if there is much of it. */
function laidOut(parts) {
  const first = [...parts.filter((part) => part.isWanted), ...parts.filter((part) => part.isFirst && !part.isWanted)];
  const others = parts.filter((part) => !part.isFirst);
  const isMarked = parts.some((part) => part.isFirst && !part.isWanted);
  if (first.length === 0 || others.length < (isMarked ? 2 : FOLDED_FROM)) {
    return { children: [...first, ...others].map((part) => part.element), open: () => {} };
  }
  const folded = element("details", { class: "more" }, element("summary", {}, `${others.length} more`), ...others.map((part) => part.element));
  const open = (names) => {
    folded.open ||= others.some((part) => names.includes(part.name));
  };
  return { children: [...first.map((part) => part.element), folded], open };
}

export function list(context, schema, { label, required }) {
  const items = [];
  const body = element("div");
  const add = () => {
    const item = context.editor(context, schema.items ?? {}, { label: `${label} ${items.length + 1}`, required: true });
    const row = element("div", { class: "item" }, item.element);
    const entry = { item, row };
    row.append(element("button", { type: "button", class: "small", "aria-label": `Remove this entry of ${label}`, onclick: () => {
      items.splice(items.indexOf(entry), 1);
      row.remove();
      more.focus();
    } }, "Remove"));
    items.push(entry);
    body.append(row);
    return entry;
  };
  const more = element("button", { type: "button", class: "small", onclick: () => {
    add().row.querySelector("input, select, textarea")?.focus();
  } }, `Add to ${label}`);
  if (required) {
    add();
  }
  const fill = (value) => {
    if (!Array.isArray(value)) {
      return false;
    }
    items.splice(0).forEach(({ row }) => row.remove());
    return value.map((entry) => add().item.fill(entry)).every(Boolean);
  };
  const paste = areRows(resolve(context, schema.items)) ? pasting(label, resolve(context, schema.items), fill) : null;
  const collect = (how) => {
    const value = items.map(({ item }) => item[how]()).filter((item) => item !== undefined);
    return value.length > 0 || required ? value : undefined;
  };
  return {
    element: element("fieldset", {}, legendOf(label, required), hintOf(schema), body, element("div", { class: "actions" }, more, paste?.button), paste?.element),
    read: () => collect("read"),
    draft: () => collect("draft"),
    fill,
    isTouched: () => items.some(({ item }) => item.isTouched()) || (!required && items.length > 0),
  };
}

/** An object whose names anybody chooses. */
export function map(context, schema, values, { label, required }) {
  const entries = [];
  const body = element("div");
  const add = () => {
    const name = field({}, `Name in ${label}`, true, (id, aria) => element("input", { id, ...aria, type: "text", autocomplete: "off", spellcheck: "false" }));
    const part = context.editor(context, values, { label: "value", required: true });
    const row = element("div", { class: "item entry" }, element("div", {}, name.element, part.element));
    const entry = { name: name.input, part, row };
    row.append(element("button", { type: "button", class: "small", "aria-label": `Remove this entry of ${label}`, onclick: () => {
      entries.splice(entries.indexOf(entry), 1);
      row.remove();
      more.focus();
    } }, "Remove"));
    entries.push(entry);
    body.append(row);
    return entry;
  };
  const more = element("button", { type: "button", class: "small", onclick: () => add().name.focus() }, `Add to ${label}`);
  const collect = (how) => {
    const value = {};
    for (const { name, part } of entries) {
      if (how === "read" && (name.value === "" || Object.hasOwn(value, name.value))) {
        throw new Problem(name.value === "" ? "The name is needed." : `There is a ${name.value} already.`, name);
      }
      const entered = part[how]();
      if (entered !== undefined) {
        // Whatever the name is, `__proto__` too.
        Object.defineProperty(value, name.value, { value: entered, enumerable: true, configurable: true, writable: true });
      }
    }
    return Object.keys(value).length > 0 || required ? value : undefined;
  };
  return {
    element: element("fieldset", {}, legendOf(label, required), hintOf(schema), body, element("div", { class: "actions" }, more)),
    read: () => collect("read"),
    draft: () => collect("draft"),
    fill(value) {
      if (!isObject(value)) {
        return false;
      }
      entries.splice(0).forEach(({ row }) => row.remove());
      const fits = Object.entries(value).map(([key, entry]) => {
        const { name, part } = add();
        name.value = key;
        return part.fill(entry);
      });
      return fits.every(Boolean);
    },
    isTouched: () => entries.length > 0,
  };
}

/** The one property of an object that is there for it alone, like a file's content; null if there are more. */
function onlyFile(context, schema) {
  const [[name, given] = [], ...others] = Object.entries(schema.properties ?? {});
  return typeOf(schema) === "object" && name !== undefined && others.length === 0 && isFile(resolve(context, given), name) ? { name, given } : null;
}

/** A file in an object of its own is one field. */
function wrapped(context, schema, { name, given }, { label, required }) {
  const inner = context.editor(context, { ...resolve(context, given), contentEncoding: "base64", description: schema.description }, { label, required });
  const wrap = (value) => (value === undefined ? undefined : { [name]: value });
  return {
    ...inner,
    read: () => wrap(inner.read()),
    draft: () => wrap(inner.draft()),
    fill: (value) => isObject(value) && inner.fill(value[name]),
  };
}

/** The form that most requests use of those that a value may have. The others are there when a value needs them. */
export function usual(context, schema, one, alternatives, options) {
  const { anyOf, oneOf, [ORIGIN]: origin, ...beside } = schema;
  let current = context.editor(context, { ...resolve(context, one), ...beside }, options);
  const made = element("div", {}, current.element);
  return {
    element: made,
    read: () => current.read(),
    draft: () => current.draft(),
    fill(value) {
      if (current.fill(value)) {
        return true;
      }
      current = choice(context, schema, alternatives, options);
      made.replaceChildren(current.element);
      return current.fill(value);
    },
    isTouched: () => current.isTouched(),
  };
}

/** One of several forms that a value may have. */
export function choice(context, schema, alternatives, { label, required }) {
  const group = newId();
  const resolved = alternatives.map((one) => resolve(context, one));
  // Who sits at a browser has files at hand, and no paths of the server.
  const before = Math.max(0, resolved.findIndex((one) => onlyFile(context, one)));
  const body = element("div");
  let current = null;
  let picked = null;
  const pick = (index) => {
    const one = { ...resolved[index] };
    if (one.description === schema.description) {
      delete one.description;
    }
    const name = nameOf(context, one);
    const file = onlyFile(context, one);
    picked = index;
    current = file ? wrapped(context, one, file, { label: name, required }) : context.editor(context, one, { label: typeOf(one) === "object" && !isFree(one) ? name : label, required });
    body.replaceChildren(current.element);
  };
  const inputs = resolved.map((one, index) => element("input", { type: "radio", name: group, value: index, checked: index === before, onchange: () => pick(index) }));
  const radios = resolved.map((one, index) => element("label", {}, inputs[index], nameOf(context, one)));
  pick(before);
  return {
    element: element("fieldset", { class: "alternatives" }, legendOf(label, required), hintOf(hints(schema).text ? { description: schema.description } : {}), element("div", { class: "choice" }, ...radios), body),
    read: () => current.read(),
    draft: () => current.draft(),
    fill(value) {
      // The one that takes it whole; of several the first.
      for (const index of resolved.keys()) {
        pick(index);
        if (current.fill(value)) {
          inputs[index].checked = true;
          return true;
        }
      }
      pick(before);
      inputs[before].checked = true;
      return false;
    },
    isTouched: () => picked !== before || current.isTouched(),
  };
}
