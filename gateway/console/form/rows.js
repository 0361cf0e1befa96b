/** Rows that are pasted: from a spreadsheet, a CSV file, or as JSON. */

import { ExactNumber, parse, stringify } from "../../client.js";
import { fields } from "../csv.js";
import { element } from "../dom.js";
import { JSON_NUMBER, Problem, field, missing, put, single } from "./fields.js";
import { typeOf } from "./schema.js";


/** A list of objects as one text. */
export function rows(schema, label, required) {
  const { input, element: made } = area(schema, label, required, ["region", "amount"]);
  const state = element("p", { class: "hint", role: "status" });
  const file = element("input", { type: "file", "aria-label": `A file for ${label}`, accept: ".csv,.tsv,.txt,.json,.jsonl", onchange: async () => {
    const [chosen] = file.files;
    if (chosen) {
      put(input, await chosen.text());
    }
  } });
  made.append(state, element("p", { class: "hint" }, "Or from a file: ", file));
  const read = () => {
    if (input.value.trim() === "") {
      if (required) {
        throw missing(input, label);
      }
      return undefined;
    }
    return records(input, schema.items ?? {});
  };
  input.addEventListener("input", () => {
    try {
      state.textContent = told(read());
    } catch {
      // It may be half typed. What is wrong is said when it is to be sent.
      state.textContent = "";
    }
  });
  return single({
    element: made,
    read,
    fill(value) {
      put(input, stringify(value, 2));
      return Array.isArray(value);
    },
    isTouched: () => input.value.trim() !== "",
  });
}

/** A button, and what it opens: room for rows, which replace those that are there. */
export function pasting(label, items, fill) {
  const { input, element: made } = area({}, `Rows for ${label}`, false, Object.keys(items.properties ?? {}));
  const button = element("button", { type: "button", class: "small", "aria-expanded": "false", onclick: () => {
    made.hidden = !made.hidden;
    button.setAttribute("aria-expanded", String(!made.hidden));
    if (!made.hidden) {
      input.focus();
    }
  } }, "Paste rows");
  const take = element("button", { type: "button", class: "small", onclick: () => {
    try {
      const value = records(input, items);
      if (!fill(value)) {
        throw new Problem("Not all of it fits; look the entries through.", input);
      }
      input.value = "";
      made.hidden = true;
      button.setAttribute("aria-expanded", "false");
      button.focus();
    } catch (problem) {
      if (!(problem instanceof Problem)) {
        throw problem;
      }
      input.setAttribute("aria-invalid", "true");
      input.problemElement.textContent = problem.message;
      input.focus();
    }
  } }, "Replace the entries by these");
  made.append(take);
  made.hidden = true;
  return { button, element: made };
}

function area(schema, label, required, names) {
  const placeholder = `CSV: ${names.join(",")}\nor JSON: [{"${names[0] ?? "name"}": …}]`;
  return field(schema, label, required, (id, aria) => element("textarea", { id, ...aria, class: "mono", rows: 5, spellcheck: "false", wrap: "off", placeholder }));
}

/** The objects that a text says: a JSON list, one JSON object a line, or CSV whose first row has the names. */
function records(input, items) {
  const text = input.value.trim();
  if (text.startsWith("[")) {
    return objects(json(text, input), input);
  }
  if (text.startsWith("{")) {
    return objects(lines(text, input), input);
  }
  const [names, ...rest] = fields(text);
  if (!names || rest.length === 0) {
    throw new Problem("Rows are a JSON list, or CSV: a line of names, then a line for each row.", input);
  }
  return rest.map((row, index) => {
    if (row.length !== names.length) {
      throw new Problem(`Row ${index + 1} has ${row.length} fields; the line of names has ${names.length}.`, input);
    }
    return Object.fromEntries(row.map((one, column) => [names[column].text, valueOf(one, items.properties?.[names[column].text])]).filter(([, value]) => value !== undefined));
  });
}

function lines(text, input) {
  try {
    // An object over several lines.
    return [parse(text)];
  } catch {
    return text.split("\n").filter((line) => line.trim() !== "").map((line) => json(line, input));
  }
}

function json(text, input) {
  try {
    return parse(text);
  } catch (error) {
    throw new Problem(`That is not JSON: ${error.message}`, input);
  }
}

function objects(list, input) {
  const wrong = list.findIndex((row) => typeof row !== "object" || row === null || Array.isArray(row));
  if (wrong >= 0) {
    throw new Problem(`Row ${wrong + 1} is no object.`, input);
  }
  return list;
}

/** A field's value: numbers, `true` and `false` as such, but where they are quoted or the schema wants a text. */
function valueOf({ text, isQuoted }, schema) {
  if (text === "" && !isQuoted) {
    // A column that is free has nothing there; a known property is left out.
    return schema === undefined ? null : undefined;
  }
  if (isQuoted || (schema !== undefined && typeOf(schema) === "string")) {
    return text;
  }
  return JSON_NUMBER.test(text) || text === "true" || text === "false" ? parse(text) : text;
}

/** What has been understood. */
function told(list) {
  if (!list) {
    return "";
  }
  const columns = [...new Set(list.flatMap((row) => Object.keys(row)))];
  const kinds = columns.map((name) => `${name} (${kindOf(list.map((row) => row[name]))})`);
  const SHOWN = 8;
  const rest = kinds.length > SHOWN ? ` and ${kinds.length - SHOWN} more` : "";
  return `${list.length} ${list.length === 1 ? "row" : "rows"}: ${kinds.slice(0, SHOWN).join(", ")}${rest}`;
}

function kindOf(values) {
  const names = { string: "text", number: "numbers", boolean: "yes or no" };
  const kinds = new Set(values.filter((value) => value !== null && value !== undefined).map((value) => (value instanceof ExactNumber ? "numbers" : (names[typeof value] ?? "JSON"))));
  return kinds.size === 0 ? "empty" : [...kinds].join(" and ");
}
