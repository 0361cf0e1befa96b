/**
 * Hands tasks to a task gateway and gets their answers, even when the connection breaks in between.
 *
 *   import { TaskClient } from "/client.js";
 *   const tasks = new TaskClient();
 *   const image = await tasks.run("resize", { source, width: 800 }, { onProgress: console.log });
 *
 * An ES module without dependencies, for browsers and for every runtime that has `WebSocket`.
 */

/** The subprotocol that it speaks. */
const SUBPROTOCOL = "tasks.v1";
/** Waits before connecting again, in milliseconds: the longest at first, and the longest of all. */
const BACKOFF_FIRST = 250;
const BACKOFF_MAX = 15_000;
/** After so many messages the gateway is told that they have been seen, so that it need not keep them. */
const ACKNOWLEDGE_AFTER = 64;
/** The longest that a timer of JavaScript can wait, and the shortest between two attempts to renew a token. */
const TIMER_MAX = 2 ** 31 - 1;
const RENEW_AGAIN_AFTER = 1000;
/** The gateway has too many connections, or too many bytes of unfinished messages. */
const TRY_AGAIN_LATER = 1013;
/** How far an answer tells why a handshake was refused. */
const UNAUTHORIZED = 401;
const FORBIDDEN = 403;
/** Close codes after which connecting again can't help: the program, or the token, has to change. */
const FINAL_CODES = new Map([
  [1002, "protocol_error"],
  [1003, "protocol_error"],
  [1007, "protocol_error"],
  [1009, "too_large"],
  [4401, "unauthorized"],
  [4408, "unauthorized"],
  [4409, "taken_over"],
]);

/** Why a task has no result. */
export class TaskError extends Error {
  /**
   * @param {{code: string, message: string, retryable?: boolean, started?: boolean, data?: unknown}} error
   */
  constructor({ code, message, retryable = false, started = true, data }) {
    super(message);
    this.name = "TaskError";
    /**
     * One of the protocol's codes, or `connection_lost`, `closed`, `unauthorized`, `forbidden`, `taken_over`,
     * `protocol_error`.
     */
    this.code = code;
    /** Whether the same request may succeed later. */
    this.retryable = retryable;
    /** Whether the work may have begun, so that a retry may do it twice. */
    this.started = started;
    /** More, for programs. */
    this.data = data;
  }
}

/**
 * A number with all the digits with which it was written, where JavaScript's own has fewer. `Number(it)` is the nearest
 * that JavaScript has; as a text it is what was written.
 */
export class ExactNumber {
  /** @param {string} text a number as JSON has it */
  constructor(text) {
    this.text = text;
  }

  valueOf() {
    return Number(this.text);
  }

  toString() {
    return this.text;
  }

  /** For whoever doesn't know it: as near as can be. */
  toJSON() {
    return Number(this.text);
  }
}

/**
 * A value of JSON. Numbers that JavaScript can't hold with all their digits become `ExactNumber`s, in every runtime that
 * tells how they were written (Chrome 114, Firefox 135, Safari 18.4, Node 21).
 *
 * @param {string} text
 */
export function parse(text) {
  return JSON.parse(text, (key, value, context) =>
    typeof value === "number" && context?.source !== undefined && digits(context.source) !== digits(String(value)) ? new ExactNumber(context.source) : value);
}

/**
 * A value as JSON, in which an `ExactNumber` has all its digits.
 *
 * @param {unknown} value
 * @param {number} [indent] spaces for each level
 */
export function stringify(value, indent) {
  // Of all texts, none has this in it but by design.
  const mark = `exact:${Math.random().toString(36).slice(2)}:`;
  let isMarked = false;
  const text = JSON.stringify(value, function (key, simple) {
    const given = this[key];
    if (given instanceof ExactNumber) {
      isMarked = true;
      return `${mark}${given.text}`;
    }
    return simple;
  }, indent);
  return isMarked ? text.replace(new RegExp(`"${mark}([^"]*)"`, "g"), "$1") : text;
}

/** What a number is, however it is written: sign, digits without zeros around them, power of ten. */
function digits(text) {
  const [, sign, whole, part = "", power = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? [];
  if (whole === undefined) {
    // More than JavaScript's largest.
    return text;
  }
  const all = `${whole}${part}`.replace(/^0+/, "");
  const kept = all.replace(/0+$/, "");
  return kept === "" ? "0" : `${sign}${kept}e${Number(power) - part.length + all.length - kept.length}`;
}

/** A connection to a gateway that reconnects by itself. */
export class TaskClient extends EventTarget {
  #url;
  #token;
  #WebSocket;
  #socket = null;
  /** `connecting`, `open`, `waiting` (to connect again) or `closed`. */
  #state = "connecting";
  #session = null;
  #seen = 0;
  #acknowledged = 0;
  /** Whether the session of this socket is the one that goes on. */
  #settled = false;
  #tasks = new Map();
  /** Ids of tasks that were not sent, first come first; some may have ended since. */
  #waiting = [];
  /** How many tasks were sent and have no answer. */
  #inFlight = 0;
  #lastId = 0;
  #backoff = BACKOFF_FIRST;
  #timer = null;
  #renewTimer = null;
  #hello = null;
  #exactNumbers;
  /** Why it is closed. */
  #error = null;

  /**
   * @param {object} [options]
   * @param {string|URL} [options.url] of the gateway's `/ws`; by default that of the page
   * @param {string|(() => string|Promise<string>)} [options.token] who the client is, asked for at each
   *   connection and again when half of the token's lifetime is over
   * @param {boolean} [options.exactNumbers] whether numbers in results that JavaScript can't hold with all their digits
   *   are `ExactNumber`s
   * @param {typeof WebSocket} [options.WebSocket] for runtimes that have none of their own
   */
  constructor({ url, token, exactNumbers = false, WebSocket = globalThis.WebSocket } = {}) {
    super();
    this.#url = new URL(url ?? "/ws", globalThis.location?.href);
    this.#url.protocol = this.#url.protocol.replace(/^http/, "ws");
    this.#token = token;
    this.#exactNumbers = exactNumbers;
    this.#WebSocket = WebSocket;
    this.#connect();
  }

  /** `connecting`, `open`, `waiting` or `closed`; an event `state` tells of each change. */
  get state() {
    return this.#state;
  }

  /** Why it is closed: what its tasks were rejected with; null until then. */
  get error() {
    return this.#error;
  }

  /** The names of the functions that may be called; known once it is open. */
  get functions() {
    return this.#hello?.functions ?? [];
  }

  /** What the gateway allows; known once it is open. */
  get limits() {
    return this.#hello?.limits ?? null;
  }

  /**
   * Runs a task. When as many are in flight as the gateway allows, it waits here until one of them has ended.
   *
   * @param {string} name of the function
   * @param {unknown} [args]
   * @param {object} [options]
   * @param {number} [options.timeout] the most that the task may take, in milliseconds
   * @param {(progress: {done: number, total: number, message: string}) => void} [options.onProgress]
   * @param {() => void} [options.onAccepted] when the gateway has taken it
   * @param {AbortSignal} [options.signal] cancels it
   * @returns {Promise<unknown>} its result; rejected with a {@link TaskError}
   */
  run(name, args = {}, { timeout, onProgress, onAccepted, signal } = {}) {
    if (this.#state === "closed") {
      return Promise.reject(this.#error ?? closed());
    }
    const id = `t${(this.#lastId += 1)}`;
    const request = { id, function: name, args };
    if (timeout !== undefined) {
      request.timeout_ms = timeout;
    }
    if (onProgress || onAccepted) {
      request.progress = true;
    }
    return new Promise((resolve, reject) => {
      const cancel = () => this.#cancel(id);
      const settle = (act) => (value) => {
        signal?.removeEventListener("abort", cancel);
        this.#tasks.delete(id);
        act(value);
        if (task.sent) {
          this.#inFlight -= 1;
          this.#sendWaiting();
        }
      };
      const task = {
        text: stringify(request),
        sent: false,
        resolve: settle(resolve),
        reject: settle(reject),
        onProgress,
        onAccepted,
      };
      if (signal?.aborted) {
        reject(cancelled());
        return;
      }
      signal?.addEventListener("abort", cancel, { once: true });
      this.#tasks.set(id, task);
      this.#waiting.push(id);
      this.#sendWaiting();
    });
  }

  /**
   * Sends the gateway a fresh token, before the present one expires and ends the session. Where the token is a function,
   * the client does so by itself.
   */
  async renew() {
    const token = await this.#freshToken();
    if (this.#settled && token !== undefined && token !== null) {
      this.#socket.send(JSON.stringify({ token }));
    }
  }

  /** Ends the connection. Tasks that are not answered are rejected; at the gateway they go on. */
  close() {
    this.#end(closed());
    this.#socket?.close(1000);
  }

  // ---- tasks ----

  #sendWaiting() {
    while (this.#settled && this.#inFlight < this.limits.in_flight_max && this.#waiting.length > 0) {
      const task = this.#tasks.get(this.#waiting.shift());
      if (!task) {
        continue;
      }
      const lengthMax = this.limits.message_len_max;
      if (isLonger(task.text, lengthMax)) {
        // The gateway would close the connection, which others use, too.
        const message = `the request is longer than ${lengthMax} bytes, the most that the gateway takes`;
        task.reject(new TaskError({ code: "too_large", message, started: false }));
        continue;
      }
      task.sent = true;
      this.#inFlight += 1;
      this.#socket.send(task.text);
    }
  }

  #cancel(id) {
    const task = this.#tasks.get(id);
    if (!task) {
      return;
    }
    if (!task.sent) {
      task.reject(cancelled());
      return;
    }
    // Said again after each break until it is answered: this socket may be about to go.
    task.cancelled = true;
    if (this.#settled) {
      this.#socket.send(JSON.stringify({ cancel: id }));
    }
  }

  // ---- connection ----

  #setState(state) {
    if (this.#state !== state) {
      this.#state = state;
      this.dispatchEvent(new Event("state"));
    }
  }

  async #freshToken() {
    return typeof this.#token === "function" ? this.#token() : this.#token;
  }

  /** Renews the token in time, if it expires and there may be a fresher one. */
  #renewBefore(expiresIn) {
    clearTimeout(this.#renewTimer);
    if (expiresIn === undefined || expiresIn <= 0 || typeof this.#token !== "function") {
      return;
    }
    const wait = Math.min(Math.max(expiresIn / 2, RENEW_AGAIN_AFTER), TIMER_MAX);
    this.#renewTimer = setTimeout(() => {
      // Whoever knows no token now may know one later. What the gateway says of it replaces this.
      this.#renewBefore(expiresIn - wait);
      this.renew().catch(() => {});
    }, wait);
  }

  async #connect() {
    this.#setState("connecting");
    let token;
    try {
      token = await this.#freshToken();
    } catch {
      if (this.#state !== "closed") {
        this.#later();
      }
      return;
    }
    if (this.#state === "closed") {
      return;
    }
    let socket;
    try {
      socket = new this.#WebSocket(addressFor(this.#url, token), [SUBPROTOCOL]);
    } catch ({ message }) {
      // For example a page that came by HTTPS, with an address without TLS.
      this.#end(new TaskError({ code: "protocol_error", message, started: false }));
      return;
    }
    this.#socket = socket;
    this.#settled = false;
    let wasOpen = false;
    socket.addEventListener("open", () => {
      wasOpen = true;
      const first = {};
      if (token !== undefined && token !== null) {
        first.token = token;
      }
      if (this.#session) {
        first.resume = this.#session;
        first.seen = this.#seen;
      }
      if (Object.keys(first).length > 0) {
        socket.send(JSON.stringify(first));
      }
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket) {
        this.#hear(this.#exactNumbers ? parse(data) : JSON.parse(data));
      }
    });
    // A close event follows. Some runtimes need a listener for this one all the same.
    socket.addEventListener("error", () => {});
    socket.addEventListener("close", ({ code, reason }) => {
      if (socket !== this.#socket) {
        return;
      }
      if (wasOpen) {
        this.#lost(code, reason);
      } else {
        this.#refused(socket, token);
      }
    });
  }

  /** The handshake came to nothing. Why, a WebSocket doesn't tell: a request to the same gateway may. */
  async #refused(socket, token) {
    this.#settled = false;
    const status = await this.#statusOfRequest(token).catch(() => null);
    if (this.#state === "closed" || socket !== this.#socket) {
      return;
    }
    if (status === UNAUTHORIZED && typeof this.#token !== "function") {
      this.#end(new TaskError({ code: "unauthorized", message: "the gateway needs a valid token, or a valid cookie", started: this.#hasSent() }));
    } else if (status === FORBIDDEN) {
      this.#end(new TaskError({ code: "forbidden", message: "pages of this origin may not connect to the gateway", started: this.#hasSent() }));
    } else {
      this.#lost(0, "");
    }
  }

  #hasSent() {
    return [...this.#tasks.values()].some(({ sent }) => sent);
  }

  /** With what status the gateway answers a request that runs nothing; null if it can't be reached. */
  async #statusOfRequest(token) {
    if (typeof globalThis.fetch !== "function") {
      return null;
    }
    const url = new URL("tasks", this.#url);
    url.protocol = url.protocol.replace(/^ws/, "http");
    // Without a type that is read, it becomes no task.
    const headers = token === undefined || token === null ? {} : { authorization: `Bearer ${token}` };
    const ask = (options) => fetch(url, { method: "POST", body: "", headers, ...options });
    for (const credentials of ["include", "omit"]) {
      try {
        const { status } = await ask({ credentials });
        // Without the cookie, nothing can be told of it.
        return credentials === "include" || status !== UNAUTHORIZED ? status : null;
      } catch {
        // It may be there and unreadable.
      }
    }
    await ask({ mode: "no-cors", credentials: "omit", headers: {} });
    return FORBIDDEN;
  }

  #lost(code, reason) {
    this.#settled = false;
    clearTimeout(this.#renewTimer);
    if (this.#state === "closed") {
      return;
    }
    const final = FINAL_CODES.get(code);
    // A token from a function may be a better one next time.
    if (final && !(final === "unauthorized" && typeof this.#token === "function" && this.#hello)) {
      const message = reason || "the gateway has closed the connection";
      this.#end(new TaskError({ code: final, message, started: true }));
      return;
    }
    const told = /retry_after_ms=(\d+)/.exec(reason);
    if (told) {
      this.#later(Number(told[1]));
    } else {
      // A greeting that came before says nothing of whether there is room now.
      this.#later(code === TRY_AGAIN_LATER ? BACKOFF_FIRST + Math.random() * BACKOFF_MAX : undefined);
    }
  }

  #later(wait) {
    this.#setState("waiting");
    // A random part of it, so that many clients that lose a gateway at once don't come back at once.
    const delay = wait ?? Math.random() * this.#backoff;
    this.#backoff = Math.min(this.#backoff * 2, BACKOFF_MAX);
    this.#timer = setTimeout(() => this.#connect(), delay);
  }

  #end(error) {
    this.#settled = false;
    this.#error ??= error;
    this.#setState("closed");
    clearTimeout(this.#timer);
    clearTimeout(this.#renewTimer);
    for (const task of [...this.#tasks.values()]) {
      task.reject(error);
    }
  }

  // ---- messages ----

  #hear(message) {
    if (message.hello) {
      this.#greeted(message);
      return;
    }
    if (message.session_lost) {
      this.#sessionLost(message.seq);
      return;
    }
    if (message.renewed) {
      this.#renewBefore(message.renewed.expires_in_ms);
      if (!this.#settled) {
        // Its number may be of the session that the socket began with, and which may be about to be left.
        if (this.#spare) {
          this.#spare.expires_in_ms = message.renewed.expires_in_ms;
        }
        return;
      }
    }
    this.#saw(message.seq);
    const task = this.#tasks.get(message.id);
    if (!task) {
      return;
    }
    if (message.ok === true) {
      task.resolve(message.result);
    } else if (message.ok === false) {
      task.reject(new TaskError(message.error));
    } else if (message.event === "progress") {
      const { done, total, message: text } = message;
      task.onProgress?.({ done, total, message: text });
    } else if (message.event === "accepted") {
      task.onAccepted?.();
    }
  }

  #greeted({ seq, hello }) {
    const wantsOld = this.#session !== null && !hello.resumed;
    if (wantsOld && hello.session !== this.#session) {
      // The socket begins with a session of its own; the answer to `resume` follows. If it is no, this is the one.
      this.#spare = hello;
      return;
    }
    this.#adopt(seq, hello);
  }

  #spare = null;

  #sessionLost(seq) {
    const spare = this.#spare;
    // What was sent in the session that is gone may have been done, or not; its answers are lost.
    for (const task of [...this.#tasks.values()].filter(({ sent }) => sent)) {
      const message = "the connection was lost for longer than the gateway keeps answers";
      task.reject(new TaskError({ code: "connection_lost", message, started: true }));
    }
    if (spare) {
      this.#session = null;
      this.#adopt(seq, spare);
    }
  }

  /** From now on this socket's session is the one that counts. */
  #adopt(seq, hello) {
    const { session, resumed, in_flight: inFlight } = hello;
    if (this.#settled && session === this.#session) {
      // One greeting for each socket is what tasks go by.
      this.#hello = hello;
      this.#saw(seq);
      return;
    }
    if (session !== this.#session) {
      this.#session = session;
      this.#seen = 0;
      this.#acknowledged = 0;
    }
    this.#hello = hello;
    this.#spare = null;
    this.#saw(seq);
    this.#settled = true;
    this.#renewBefore(hello.expires_in_ms);
    this.#backoff = BACKOFF_FIRST;
    const running = new Set(inFlight);
    this.#inFlight = 0;
    for (const [id, task] of this.#tasks) {
      // What has not arrived is sent again: had it been answered, the answer would have come before this.
      task.sent &&= resumed && running.has(id);
      this.#inFlight += task.sent ? 1 : 0;
    }
    for (const [id] of [...this.#tasks].filter(([, { cancelled }]) => cancelled)) {
      this.#cancel(id);
    }
    this.#waiting = [...this.#tasks.keys()].filter((id) => !this.#tasks.get(id).sent);
    this.#sendWaiting();
    this.#setState("open");
  }

  #saw(seq) {
    this.#seen = Math.max(this.#seen, seq ?? 0);
    if (this.#settled && this.#seen - this.#acknowledged >= ACKNOWLEDGE_AFTER) {
      this.#acknowledged = this.#seen;
      this.#socket.send(JSON.stringify({ seen: this.#seen }));
    }
  }
}

/** Where to connect: a token that is to come, in the first message, counts in place of whatever the cookie holds. */
function addressFor(url, token) {
  const address = new URL(url);
  if (token !== undefined && token !== null) {
    address.searchParams.set("token", "follows");
  }
  return address;
}

/** Whether a text has more bytes than that in UTF-8, which needs one to three for each of its units. */
function isLonger(text, bytes) {
  return text.length > bytes || (text.length * 3 > bytes && new TextEncoder().encode(text).length > bytes);
}

function closed() {
  return new TaskError({ code: "closed", message: "the client was closed", started: true });
}

function cancelled() {
  return new TaskError({ code: "cancelled", message: "cancelled before it was sent", started: false });
}
