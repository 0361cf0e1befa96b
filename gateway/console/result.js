/** A task's result, as people like to see it: pictures, files to save, tables, and the rest as it is. */

import { element, size } from "./form.js";

const ROWS_SHOWN = 500;
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
      raw.append(element("pre", { tabindex: "0" }, JSON.stringify(shortened(result), null, 2)));
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
  if (typeof value === "object" && value !== null) {
    return object(value, urls, depth);
  }
  return element("p", {}, scalar(value));
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
    } else if (typeof entry === "object" && entry !== null && depth < 4) {
      list.append(element("dt", {}, key), element("dd", {}, show(entry, urls, depth + 1)));
    } else {
      list.append(element("dt", {}, key), element("dd", {}, scalar(entry)));
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
  return key === "text" && typeof owner.format === "string" && text.length > 200;
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
  return element("div", {}, save(url, `result.${owner.format}`, blob.size));
}

function save(url, name, length) {
  return element("p", {}, element("a", { href: url, download: name }, `Save ${name}`), ` (${size(length)})`);
}

function array(list, urls, depth) {
  if (list.length === 0) {
    return element("p", { class: "quiet" }, "an empty list");
  }
  const rows = list.every((row) => typeof row === "object" && row !== null && !Array.isArray(row)) ? list : null;
  if (!rows || list.some((row) => Object.keys(row).some((key) => /base64$/.test(key)))) {
    return element("ol", {}, ...list.slice(0, ROWS_SHOWN).map((entry) => element("li", {}, show(entry, urls, depth + 1))));
  }
  const columns = [...new Set(rows.slice(0, ROWS_SHOWN).flatMap((row) => Object.keys(row)))];
  const head = element("tr", {}, ...columns.map((name) => element("th", { scope: "col" }, name)));
  const body = rows.slice(0, ROWS_SHOWN).map((row) =>
    element("tr", {}, ...columns.map((name) => {
      const value = row[name];
      const text = typeof value === "object" && value !== null ? JSON.stringify(value) : scalar(value);
      return element("td", { class: typeof value === "number" ? "number" : undefined }, text);
    })));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Rows" }, table);
  const more = list.length > ROWS_SHOWN ? element("p", { class: "quiet" }, `${list.length - ROWS_SHOWN} more rows are not shown.`) : null;
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
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, shortened(entry)]));
  }
  return value;
}
