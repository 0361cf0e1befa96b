/** The form of the function that is chosen. Those of others stay as they were left. */

import { stringify } from "../client.js";
import * as address from "./address.js";
import { duration, element, marked } from "./dom.js";
import { Problem, form, showProblem } from "./form/form.js";

/** How long a form stays shut after it was sent, in milliseconds: longer than the pause within a double click. */
const CLICK_PAUSE = 700;

/** Forms by function: `content` to be shown, the form's `args`, the `schema` they were made of. */
const opened = new Map();

/**
 * Shows a function's form, as it was left, or with these arguments. `run(name, args)` runs it; it gives a promise that
 * ends when the gateway has taken the task.
 */
export function show(one, run, given) {
  const schema = stringify([one.args_schema, one.description, one.version, one.plugin]);
  let entry = opened.get(one.name);
  if (!entry || entry.schema !== schema || given) {
    // A new version of a plugin keeps what fits it.
    const kept = given?.args ?? (entry?.isChanged ? entry.args.draft() : undefined);
    entry = made(one, run, schema, kept, given !== undefined);
    entry.text = given?.text;
    opened.set(one.name, entry);
  }
  const place = document.getElementById("function");
  // What stands there already keeps the focus.
  if (place.firstElementChild !== entry.content[0]) {
    place.replaceChildren(...entry.content);
  }
  return entry;
}

/** What the form of a function was filled with from the address. */
export function filledFrom(name) {
  return opened.get(name)?.text;
}

/** Says that there is no such function. */
export function showMissing(name) {
  document.getElementById("function").replaceChildren(element("h2", {}, name), element("p", { class: "problem", role: "alert" }, "There is no such function here, or you may not call it."));
}

function made(one, run, schema, kept, isGiven) {
  const entry = { schema, args: null, content: [], isChanged: false };
  const title = element("h2", {}, one.name);
  try {
    entry.args = form(one.args_schema);
  } catch (error) {
    // Rather no form than one of another function.
    entry.args = { draft: () => undefined };
    entry.content = [title, element("p", { class: "problem", role: "alert" }, `There is no form for it: ${error.message}`)];
    return entry;
  }
  const fits = kept === undefined || entry.args.fill(kept);
  entry.isChanged = kept !== undefined;
  const note = element("p", { class: "note", role: "status" }, !fits && isGiven ? "Not all of these arguments fit this form; look it through before you run it." : "");
  const description = (one.description ?? "").split(/\n\s*\n/).map((text) => element("p", {}, ...marked(text)));
  const limit = one.timeout_ms ? `At most ${duration(one.timeout_ms)}. ` : "";
  const origin = element("p", { class: "hint" }, `${limit}Plugin ${one.plugin} ${one.version}`);
  entry.content = [title, ...description, origin, note, formOf(one, run, entry, note)];
  return entry;
}

function formOf(one, run, entry, note) {
  const { name } = one;
  const problem = element("p", { class: "problem", role: "alert" });
  const button = element("button", { class: "primary" }, `Run ${name}`);
  const send = (event) => {
    event.preventDefault();
    problem.textContent = "";
    if (button.disabled) {
      return;
    }
    try {
      const value = entry.args.read();
      // A double click is one click.
      button.disabled = true;
      const until = Promise.all([run(name, value), new Promise((resolve) => setTimeout(resolve, CLICK_PAUSE))]);
      until.finally(() => {
        button.disabled = false;
      });
    } catch (error) {
      if (!(error instanceof Problem)) {
        throw error;
      }
      problem.textContent = error.message;
      showProblem(error.input, error.message);
    }
  };
  const share = element("button", { type: "button", onclick: async () => {
    note.textContent = await shared(name, entry);
  } }, "Copy link");
  const clear = element("button", { type: "button", onclick: () => {
    opened.delete(name);
    show(one, run).focus();
  } }, "Clear");
  const made = element("form", { novalidate: true, onsubmit: send, oninput: () => {
    entry.isChanged = true;
    note.textContent = "";
  }, onkeydown: (event) => {
    // Where Enter is a new line, too.
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      made.requestSubmit();
    }
  } },
  entry.args.element, problem,
  element("div", { class: "actions run" }, button, share, clear));
  entry.focus = () => (made.querySelector("input:not([type=radio]), select, textarea") ?? button).focus();
  return made;
}

/** Puts what was entered into the address and the clipboard: what to say of it. */
async function shared(name, entry) {
  const args = entry.args.draft();
  const text = address.share(name, args);
  if (text === null) {
    return "That is too much for a link.";
  }
  entry.text = text;
  const without = isWhole(entry.args, args) ? "" : " Files, passwords and what isn't right yet are not in it.";
  try {
    await navigator.clipboard.writeText(location.href);
    return `The link is copied.${without}`;
  } catch {
    return `The link is in the address bar.${without}`;
  }
}

function isWhole(args, draft) {
  try {
    return stringify(args.read()) === stringify(draft);
  } catch {
    return false;
  }
}
