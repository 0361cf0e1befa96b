/** The tasks that were begun on this page, and what became of them. */

import { stringify } from "../client.js";
import { element, marked } from "./dom.js";
import { view } from "./result.js";
import { WORDS } from "./words.js";

/** How much of a task's arguments is shown. */
const ARGS_SHOWN = 4000;

const at = (id) => document.getElementById(id);

/**
 * Runs a task and shows it: a promise that ends when the gateway has taken it, or refused it.
 *
 * `page` has `client()`, through which tasks go, and `edit(name, args)`, which opens the function's form with these.
 */
export function run(page, name, args) {
  const began = Date.now();
  const abort = new AbortController();
  const card = cardOf(page, name, args, abort);
  const list = at("history");
  list.prepend(card.row);
  at("no-tasks").hidden = true;
  at("clear").hidden = false;
  at("announcer").textContent = `${name}: sent`;
  reveal(card.row);
  // Whoever has gone on to something else meanwhile is not called back.
  const asked = document.activeElement;
  const end = (how, text, shown) => {
    const hadFocus = card.row.contains(document.activeElement);
    card.end(how, `${text} after ${((Date.now() - began) / 1000).toFixed(1)} s`);
    card.row.append(shown);
    at("announcer").textContent = `${name}: ${text}`;
    if (hadFocus || document.activeElement === document.body || document.activeElement === asked) {
      card.title.focus({ preventScroll: true });
      reveal(card.row);
    }
  };
  let taken;
  const isTaken = new Promise((resolve) => {
    taken = resolve;
  });
  page.client().run(name, args, {
    signal: abort.signal,
    onAccepted: () => {
      card.state.textContent = "Running";
      taken();
    },
    onProgress: card.progress,
  }).then((result) => {
    const shown = view(result);
    card.row.release = shown.release;
    end("done", "Done", shown.element);
  }, (error) => {
    end("failed", error.code === "cancelled" ? "Cancelled" : "Failed", described(error));
  }).finally(taken);
  return isTaken;
}

/** Brings a task into sight: from its head on, where not all of it has room. */
function reveal(row) {
  const column = at("history-section");
  if (column.scrollHeight > column.clientHeight && getComputedStyle(column).overflowY === "auto") {
    // A column of its own moves by itself; the form stays where it is.
    column.scrollTop += row.getBoundingClientRect().top - column.getBoundingClientRect().top - parseFloat(getComputedStyle(row).scrollMarginTop);
    return;
  }
  const { top, bottom } = row.getBoundingClientRect();
  if (top < parseFloat(getComputedStyle(row).scrollMarginTop) || bottom > innerHeight) {
    row.scrollIntoView({ block: "start" });
  }
}

function cardOf(page, name, args, abort) {
  const state = element("span", { class: "state" }, "Sent");
  const title = element("h3", { tabindex: "-1" }, element("span", { class: "name" }, name), " ", state);
  const bar = element("progress", { "aria-label": `Progress of ${name}` });
  const words = element("p", { class: "quiet" });
  const cancel = element("button", { type: "button", class: "small", onclick: () => {
    cancel.disabled = true;
    state.textContent = "Cancelling…";
    abort.abort();
  } }, "Cancel");
  const again = [
    element("button", { type: "button", class: "small", "aria-label": `Run again: ${name}`, onclick: () => run(page, name, args) }, "Run again"),
    element("button", { type: "button", class: "small", "aria-label": `Edit and run: ${name}`, onclick: () => page.edit(name, args) }, "Edit and run"),
  ];
  const actions = element("div", { class: "buttons" }, cancel);
  const head = element("div", { class: "line" }, title, actions);
  const row = element("li", { class: "task", "data-state": "running" }, head, bar, words);
  return {
    row,
    title,
    state,
    progress({ done, total, message }) {
      if (total > 0) {
        bar.max = total;
        bar.value = done;
        state.textContent = `${Math.floor((100 * done) / total)} %`;
      }
      words.textContent = message;
    },
    end(how, text) {
      row.dataset.state = how;
      state.textContent = text;
      state.title = `at ${new Date().toLocaleTimeString()}`;
      bar.remove();
      words.remove();
      actions.replaceChildren(...again);
      if (Object.keys(args ?? {}).length > 0) {
        row.append(shownArgs(args));
      }
    },
  };
}

function shownArgs(args) {
  const made = element("details", { class: "args" }, element("summary", {}, "Arguments"));
  made.addEventListener("toggle", () => {
    if (made.open && made.children.length === 1) {
      const text = stringify(args, 2);
      made.append(element("pre", { tabindex: "0" }, text.length > ARGS_SHOWN ? `${text.slice(0, ARGS_SHOWN)}… (${text.length} characters)` : text));
    }
  });
  return made;
}

function described(error) {
  const retry = error.retryable ? (error.started ? "Trying again may help, and may do the work twice." : "Trying again may help.") : "";
  const made = element("div", { class: "error" }, element("strong", {}, WORDS[error.code] ?? "The task has failed."), element("p", {}, ...marked(error.message)), retry ? element("p", { class: "quiet" }, retry) : null);
  if (error.data !== undefined) {
    made.append(element("details", {}, element("summary", {}, "Details"), element("pre", { tabindex: "0" }, stringify({ code: error.code, data: error.data }, 2))));
  }
  return made;
}

/** Takes away what has ended. */
export function clearFinished() {
  for (const row of [...at("history").children]) {
    if (row.dataset.state !== "running") {
      row.release?.();
      row.remove();
    }
  }
  const isEmpty = at("history").children.length === 0;
  at("no-tasks").hidden = !isEmpty;
  at("clear").hidden = isEmpty;
  if (isEmpty) {
    at("history-title").focus();
  }
}
