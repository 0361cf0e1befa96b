/** The console: functions, a form for each, and the tasks that were begun here. */

import { TaskClient, stringify } from "../client.js";
import { Problem, element, form, marked, showProblem } from "./form.js";
import { view } from "./result.js";

const at = (id) => document.getElementById(id);

/** Errors in plain words, by code. */
const WORDS = {
  bad_request: "The gateway did not understand the request.",
  too_large: "The request is too long for this gateway.",
  unknown_function: "There is no such function here.",
  unavailable: "No server can do this at the moment.",
  overloaded: "The server is too busy at the moment.",
  shutting_down: "The server is about to stop.",
  invalid_args: "These arguments are not what the function takes.",
  handler_failed: "The task has failed.",
  handler_panicked: "The task has failed because of a mistake in its plugin.",
  worker_crashed: "The process that did the task has died.",
  timeout: "The task took too long and was ended.",
  cancelled: "The task was cancelled.",
  result_too_large: "The task is done, but its result is too long to be sent.",
  internal: "Something is wrong with the server.",
  connection_lost: "The connection was lost for too long; the task may be done all the same.",
  unauthorized: "The gateway needs another token.",
  forbidden: "This page may not connect to the gateway.",
  protocol_error: "The gateway did not understand this page.",
  taken_over: "Another tab has taken over this session.",
  closed: "The connection was closed.",
};

/** How long a form stays shut after it was sent, in milliseconds: longer than the pause within a double click. */
const CLICK_PAUSE = 700;

let token = sessionStorage.getItem("token") ?? undefined;
let client = null;
let functions = [];
let chosen = null;

start();

async function start() {
  await loadFunctions();
  connect();
  at("search").addEventListener("input", listFunctions);
  at("clear").addEventListener("click", clearFinished);
  at("reconnect").addEventListener("click", connect);
}

function connect() {
  const made = new TaskClient({ url: new URL("ws", document.baseURI), token, exactNumbers: true });
  client = made;
  client.addEventListener("state", () => {
    if (made === client) {
      showState(made.state);
    }
  });
  showState(client.state);
}

/** The gateway has ended the session. The form stays, whatever is in it. */
async function ended({ code }) {
  if (code !== "unauthorized") {
    at("connection").textContent = WORDS[code] ?? "Not connected";
    at("reconnect").hidden = false;
    return;
  }
  await login(token ? "That token is not valid any more." : "");
  connect();
}

function showState(state) {
  const words = { connecting: "Connecting…", open: "Connected", waiting: "Connection lost, trying again…", closed: "Not connected" };
  const shown = at("connection");
  shown.textContent = words[state];
  shown.dataset.state = state;
  at("reconnect").hidden = true;
  if (state === "closed") {
    ended(client.error);
  }
  if (state === "open") {
    refreshFunctions();
  }
}

// ---- functions ----

async function loadFunctions() {
  for (;;) {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    let response;
    try {
      response = await fetch("functions.json", { headers });
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1000));
      continue;
    }
    if (response.status === 401) {
      await login(token ? "That token is not valid." : "");
      continue;
    }
    functions = response.ok ? (await response.json()).functions : [];
    listFunctions();
    return;
  }
}

/** After each connection: plugins may have come and gone. */
async function refreshFunctions() {
  const before = JSON.stringify(functions);
  try {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const response = await fetch("functions.json", { headers });
    if (response.ok) {
      functions = (await response.json()).functions;
    }
  } catch {
    return;
  }
  if (JSON.stringify(functions) !== before) {
    listFunctions();
  }
}

function login(problem) {
  const dialog = at("login");
  at("login-problem").textContent = problem;
  at("token").value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      token = at("token").value.trim() || undefined;
      if (token) {
        sessionStorage.setItem("token", token);
      }
      resolve();
    }, { once: true });
  });
}

function listFunctions() {
  const wanted = at("search").value.trim().toLowerCase();
  const shown = functions.filter(({ name, description }) => `${name} ${description}`.toLowerCase().includes(wanted));
  at("functions").replaceChildren(...shown.map((one) => {
    const isCurrent = one.name === chosen;
    const summary = (one.description ?? "").split(/\n\s*\n|(?<=[.!?])\s/)[0].replace(/`/g, "");
    const button = element("button", { type: "button", "aria-current": isCurrent ? "true" : undefined, onclick: () => choose(one.name, true) }, element("strong", {}, one.name), element("span", {}, summary));
    return element("li", {}, button);
  }));
  const none = at("no-functions");
  none.hidden = shown.length > 0;
  none.textContent = functions.length === 0 ? "No function is allowed here. The gateway's configuration lists under `allow` which are." : "No function is called that.";
  const fromPage = functions.find(({ name }) => `#${encodeURIComponent(name)}` === location.hash)?.name;
  if (!chosen && functions.length > 0) {
    choose(fromPage ?? functions[0].name, false);
  }
}

function choose(name, focus) {
  chosen = name;
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  listFunctions();
  const one = functions.find((candidate) => candidate.name === name);
  let args;
  try {
    args = form(one.args_schema);
  } catch (error) {
    // Rather no form than one of another function.
    at("function").replaceChildren(element("h2", {}, name), element("p", { class: "problem", role: "alert" }, `There is no form for it: ${error.message}`));
    return;
  }
  const problem = element("p", { class: "problem", role: "alert" });
  const button = element("button", { class: "primary" }, `Run ${name}`);
  const limit = one.timeout_ms ? `At most ${duration(one.timeout_ms)}. ` : "";
  const made = element("form", { novalidate: true, onsubmit: (event) => {
    event.preventDefault();
    problem.textContent = "";
    if (button.disabled) {
      return;
    }
    try {
      const value = args.read();
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
  } },
  args.element, problem, element("div", { class: "actions" }, button, element("span", { class: "quiet" }, `${limit}Plugin ${one.plugin} ${one.version}`)));
  const description = (one.description ?? "").split(/\n\s*\n/).map((text) => element("p", {}, ...marked(text)));
  at("function").replaceChildren(element("h2", {}, name), ...description, made);
  if (focus) {
    at("work").focus({ preventScroll: false });
  }
}

function duration(ms) {
  if (ms % 3_600_000 === 0) {
    return `${ms / 3_600_000} h`;
  }
  return ms % 60_000 === 0 ? `${ms / 60_000} min` : ms % 1000 === 0 ? `${ms / 1000} s` : `${ms} ms`;
}

// ---- tasks ----

/** Runs a task: a promise that ends when the gateway has taken it, or refused it. */
function run(name, args) {
  at("history-section").hidden = false;
  const abort = new AbortController();
  const began = Date.now();
  const state = element("span", { class: "state" }, "Sent");
  const bar = element("progress", { "aria-label": `Progress of ${name}` });
  const words = element("p", { class: "quiet" });
  const cancel = element("button", { type: "button", class: "small", onclick: () => {
    cancel.disabled = true;
    state.textContent = "Cancelling…";
    abort.abort();
  } }, "Cancel");
  const head = element("div", { class: "line" }, element("h3", {}, name), element("span", {}, state, " ", cancel));
  const row = element("li", { class: "task", "data-state": "running" }, head, bar, words);
  at("history").prepend(row);
  const end = (how, text) => {
    row.dataset.state = how;
    state.textContent = `${text} after ${((Date.now() - began) / 1000).toFixed(1)} s, at ${new Date().toLocaleTimeString()}`;
    cancel.remove();
    bar.remove();
    words.remove();
    at("announcer").textContent = `${name}: ${text}`;
  };
  let taken;
  const isTaken = new Promise((resolve) => {
    taken = resolve;
  });
  client.run(name, args, {
    signal: abort.signal,
    onAccepted: () => {
      state.textContent = "Running";
      taken();
    },
    onProgress: ({ done, total, message }) => {
      if (total > 0) {
        bar.max = total;
        bar.value = done;
        state.textContent = `${Math.floor((100 * done) / total)} %`;
      }
      words.textContent = message;
    },
  }).then((result) => {
    end("done", "Done");
    const shown = view(result);
    row.release = shown.release;
    row.append(shown.element);
  }, (error) => {
    end("failed", error.code === "cancelled" ? "Cancelled" : "Failed");
    row.append(describe(error));
  }).finally(taken);
  return isTaken;
}

function describe(error) {
  const retry = error.retryable ? (error.started ? "Trying again may help, and may do the work twice." : "Trying again may help.") : "";
  const made = element("div", { class: "error" }, element("strong", {}, WORDS[error.code] ?? "The task has failed."), element("p", {}, ...marked(error.message)), retry ? element("p", { class: "quiet" }, retry) : null);
  if (error.data !== undefined) {
    made.append(element("details", {}, element("summary", {}, "Details"), element("pre", {}, stringify({ code: error.code, data: error.data }, 2))));
  }
  return made;
}

function clearFinished() {
  for (const row of [...at("history").children]) {
    if (row.dataset.state !== "running") {
      row.release?.();
      row.remove();
    }
  }
  at("history-section").hidden = at("history").children.length === 0;
}
