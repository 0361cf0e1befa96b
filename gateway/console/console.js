/** The console: who is asking, the connection, the functions; a form for each, and the tasks that were begun here. */

import { TaskClient } from "../client.js";
import * as address from "./address.js";
import { element } from "./dom.js";
import { clearFinished, run } from "./tasks.js";
import { WORDS } from "./words.js";
import * as work from "./work.js";

const at = (id) => document.getElementById(id);

let token = sessionStorage.getItem("token") ?? undefined;
let client = null;
let functions = [];
let chosen = null;

/** What tasks need of the page. */
const page = {
  client: () => client,
  edit(name, args) {
    choose(name, { args })?.focus?.();
  },
};

start();

async function start() {
  at("search").addEventListener("input", listFunctions);
  at("clear").addEventListener("click", clearFinished);
  at("reconnect").addEventListener("click", connect);
  addEventListener("hashchange", goToAddress);
  // The address is the function's: the link past the list moves the focus alone.
  at("skip").addEventListener("click", (event) => {
    event.preventDefault();
    at("work").focus();
  });
  await loadFunctions();
  connect();
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

/** The gateway has ended the session. The forms stay, whatever is in them. */
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

// ---- functions ----

function fetchFunctions() {
  return fetch("functions.json", { headers: token ? { authorization: `Bearer ${token}` } : {} });
}

async function loadFunctions() {
  for (;;) {
    let response;
    try {
      response = await fetchFunctions();
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
    goToAddress();
    return;
  }
}

/** After each connection: plugins may have come and gone. */
async function refreshFunctions() {
  const before = JSON.stringify(functions);
  try {
    const response = await fetchFunctions();
    if (response.ok) {
      functions = (await response.json()).functions;
    }
  } catch {
    return;
  }
  if (JSON.stringify(functions) !== before) {
    listFunctions();
    goToAddress();
  }
}

function find(name) {
  return functions.find((one) => one.name === name);
}

function listFunctions() {
  const wanted = at("search").value.trim().toLowerCase();
  const shown = functions.filter(({ name, description }) => `${name} ${description}`.toLowerCase().includes(wanted));
  at("functions").replaceChildren(...shown.map((one) => {
    const summary = (one.description ?? "").split(/\n\s*\n|(?<=[.!?])\s/)[0].replace(/`/g, "");
    const button = element("button", { type: "button", "data-name": one.name, onclick: () => {
      choose(one.name);
      at("work").focus({ preventScroll: true });
    } }, element("strong", {}, one.name), element("span", {}, summary));
    return element("li", {}, button);
  }));
  const none = at("no-functions");
  none.hidden = shown.length > 0;
  none.textContent = functions.length === 0 ? "No function is allowed here. The gateway's configuration lists under `allow` which are." : "No function is called that.";
  markChosen();
}

/** On phones the list is wider than the page. */
function markChosen() {
  for (const button of at("functions").querySelectorAll("button")) {
    if (button.dataset.name === chosen) {
      button.setAttribute("aria-current", "true");
      button.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else {
      button.removeAttribute("aria-current");
    }
  }
}

/** Shows what the address names; what it has arguments for is filled with these, once. */
function goToAddress() {
  const { name, text, args, isBroken } = address.read();
  const shown = name || chosen || functions[0]?.name;
  if (shown === undefined || functions.length === 0) {
    return;
  }
  const isNew = args !== undefined && work.filledFrom(shown) !== text;
  choose(shown, isNew ? { args, text } : isBroken ? { args: null } : undefined);
}

/** Shows a function's form, which it returns; null if there is none of that name any more. */
function choose(name, given) {
  chosen = name;
  address.show(name);
  markChosen();
  const one = find(name);
  if (!one) {
    work.showMissing(name);
    return null;
  }
  return work.show(one, runTask, given);
}

function runTask(name, args) {
  return run(page, name, args);
}
