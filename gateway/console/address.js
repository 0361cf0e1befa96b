/** The page's address: which function is shown, and what its form begins with. */

import { parse, stringify } from "../client.js";

/** Longer addresses don't survive being sent around. */
const LENGTH_MAX = 8000;

/** What the address says: `name`, and `args` if it has any; `text` is what it has them from. */
export function read() {
  const [name, text] = location.hash.slice(1).split("?", 2);
  try {
    return { name: decodeURIComponent(name), text, args: text ? parse(decodeURIComponent(text)) : undefined };
  } catch {
    return { name: decodeIfPossible(name), text: undefined, args: undefined, isBroken: true };
  }
}

function decodeIfPossible(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Notes that a function is shown: a step of its own for the browser's Back, unless it is the first. */
export function show(name) {
  const hash = `#${encodeURIComponent(name)}`;
  if (location.hash === "") {
    history.replaceState(null, "", hash);
  } else if (read().name !== name) {
    history.pushState(null, "", hash);
  }
}

/** Puts arguments into the address: what it has them as, or null if that would be too long. */
export function share(name, args) {
  const text = encodeURIComponent(stringify(args));
  const hash = `#${encodeURIComponent(name)}?${text}`;
  if (hash.length > LENGTH_MAX) {
    return null;
  }
  history.replaceState(null, "", hash);
  return text;
}
