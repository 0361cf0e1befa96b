/** A task's result, as people like to see it: pictures, files to save, tables, and the rest as it is. */

import { ExactNumber, parse, stringify } from "../client.js";
import { fields } from "./csv.js";
import { element, size } from "./dom.js";

const ROWS_SHOWN = 500;
/** What lies deeper is shown as JSON. */
const DEPTH_MAX = 8;
/** What a file begins with, in base64, and what it is. */
const KINDS = [
  ["/9j/", "image/jpeg", "jpg"],
  ["iVBORw0KGgo", "image/png", "png"],
  ["R0lGOD", "image/gif", "gif"],
  ["UklGR", "image/webp", "webp"],
  ["AAAAIGZ0eXBhdmlm", "image/avif", "avif"],
  ["AAAAHGZ0eXBhdmlm", "image/avif", "avif"],
  ["JVBERi0", "application/pdf", "pdf"],
  ["UEsDB", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"],
];

/** The result as an element. `release()` frees what it holds of the browser's memory. */
export function view(result) {
  const urls = [];
  const made = element("div", { class: "result" }, show(result, urls, 0));
  const raw = element("details", {}, element("summary", {}, "As JSON"));
  raw.addEventListener("toggle", () => {
    if (raw.open && raw.children.length === 1) {
      const whole = stringify(result, 2);
      const url = URL.createObjectURL(new Blob([whole], { type: "application/json;charset=utf-8" }));
      urls.push(url);
      raw.append(element("pre", { tabindex: "0" }, stringify(shortened(result), 2)), save(url, "result.json", new Blob([whole]).size));
    }
  });
  if (typeof result === "object" && result !== null) {
    made.append(raw);
  }
  return { element: made, release: () => urls.forEach((url) => URL.revokeObjectURL(url)) };
}

function show(value, urls, depth) {
  if (Array.isArray(value)) {
    return array(value, urls, depth);
  }
  if (isObject(value)) {
    return object(value, urls, depth);
  }
  return element("p", {}, scalar(value));
}

function isObject(value) {
  return typeof value === "object" && value !== null && !(value instanceof ExactNumber);
}

function isNumber(value) {
  return typeof value === "number" || value instanceof ExactNumber;
}

function scalar(value) {
  if (value === null || value === undefined) {
    return "–";
  }
  if (typeof value === "boolean") {
    return value ? "yes" : "no";
  }
  return String(value);
}

function object(value, urls, depth) {
  const parts = element("div");
  const list = element("dl");
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry === "string" && isBase64(key, entry)) {
      parts.append(file(entry, value, urls));
    } else if (typeof entry === "string" && isText(value, key, entry)) {
      parts.append(textFile(entry, value, urls));
    } else if (isObject(entry) && depth < DEPTH_MAX) {
      const isWide = Object.values(entry).some(isObject);
      list.append(element("dt", {}, key), element("dd", { class: isWide ? "wide" : undefined }, show(entry, urls, depth + 1)));
    } else {
      list.append(element("dt", {}, key), element("dd", {}, isObject(entry) ? stringify(entry) : scalar(entry)));
    }
  }
  if (list.children.length > 0) {
    parts.append(list);
  }
  return parts;
}

function isBase64(key, text) {
  return /(^|_)base64$/.test(key) && /^[A-Za-z0-9+/_-]+=*$/.test(text.slice(0, 200));
}

/** Documents, like an HTML report. */
function isText(owner, key, text) {
  return key === "text" && typeof owner.format === "string" && text?.length > 200;
}

function file(base64, owner, urls) {
  const kind = KINDS.find(([begin]) => base64.startsWith(begin));
  const [, type, ending] = kind ?? ["", "application/octet-stream", "bin"];
  const bytes = Uint8Array.from(atob(base64.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const made = element("div");
  const url = URL.createObjectURL(new Blob([bytes], { type }));
  urls.push(url);
  if (type.startsWith("image/")) {
    const dimensions = owner.width && owner.height ? `, ${owner.width} × ${owner.height}` : "";
    made.append(element("img", { src: url, alt: `The resulting image${dimensions}` }));
  }
  made.append(save(url, `result.${ending}`, bytes.length));
  return made;
}

function textFile(text, owner, urls) {
  const types = { html: "text/html", csv: "text/csv", json: "application/json" };
  const blob = new Blob([text], { type: `${types[owner.format] ?? "text/plain"};charset=utf-8` });
  const url = URL.createObjectURL(blob);
  urls.push(url);
  return element("div", {}, preview(text, owner.format, urls), save(url, `result.${owner.format}`, blob.size));
}

/** A document as it is meant to be seen, as far as that is safe. */
function preview(text, format, urls) {
  switch (format) {
    case "html":
      // Without leave to do anything: no scripts, no forms, no way to this page.
      return element("iframe", { sandbox: true, srcdoc: text, title: "The resulting document", class: "document" });
    case "csv": {
      const [names, ...rows] = fields(text).map((row) => row.map((one) => one.text));
      return names && rows.length > 0 ? table(names, rows) : element("pre", { tabindex: "0" }, text);
    }
    case "json":
      try {
        return show(parse(text), urls, 1);
      } catch {
        return element("pre", { tabindex: "0" }, text);
      }
    default:
      return element("pre", { tabindex: "0" }, text);
  }
}

function save(url, name, length) {
  return element("p", {}, element("a", { href: url, download: name }, `Save ${name}`), ` (${size(length)})`);
}

function array(list, urls, depth) {
  if (list.length === 0) {
    return element("p", { class: "quiet" }, "none");
  }
  const rows = list.every((row) => isObject(row) && !Array.isArray(row)) ? list : null;
  if (!rows || rows.slice(0, ROWS_SHOWN).some(isMoreThanRow)) {
    return element("ol", { class: rows?.length === 1 ? "single" : undefined }, ...list.slice(0, ROWS_SHOWN).map((entry) => element("li", {}, show(entry, urls, depth + 1))));
  }
  const columns = [...new Set(rows.slice(0, ROWS_SHOWN).flatMap((row) => Object.keys(row)))];
  return table(columns, rows.map((row) => columns.map((name) => row[name])));
}

/** Whether it has documents in it, or lists of objects, which no cell of a table has room for. */
function isMoreThanRow(row) {
  return Object.entries(row).some(([key, value]) =>
    /base64$/.test(key) || isText(row, key, value) || (isObject(value) && Object.values(value).some(isObject)));
}

/** Rows of values under their names. */
function table(names, rows) {
  const areNumbers = names.map((_, column) => rows.slice(0, ROWS_SHOWN).every((row) => isNumber(row[column])));
  const head = element("tr", {}, ...names.map((name, column) => element("th", { scope: "col", class: areNumbers[column] ? "number" : undefined }, name)));
  const body = rows.slice(0, ROWS_SHOWN).map((row) =>
    element("tr", {}, ...row.map((value) => element("td", { class: isNumber(value) ? "number" : undefined }, isObject(value) ? stringify(value) : scalar(value)))));
  const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Rows" }, made);
  const more = rows.length > ROWS_SHOWN ? element("p", { class: "quiet" }, `${rows.length - ROWS_SHOWN} more rows are not shown.`) : null;
  return element("div", {}, scroll, more);
}

/** With long texts cut, so that the page stays usable. */
function shortened(value) {
  const LENGTH_MAX = 400;
  if (typeof value === "string" && value.length > LENGTH_MAX) {
    return `${value.slice(0, LENGTH_MAX)}… (${value.length} characters)`;
  }
  if (Array.isArray(value)) {
    return value.slice(0, ROWS_SHOWN).map(shortened);
  }
  if (isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, shortened(entry)]));
  }
  return value;
}
