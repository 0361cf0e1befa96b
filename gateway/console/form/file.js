/** A file, which goes into the request as base64. */

import { element, size } from "../dom.js";
import { Problem, field, missing, showProblem, single } from "./fields.js";

export function file(schema, label, required) {
  const { input, element: made } = field(schema, label, required, (id, aria) => element("input", { id, ...aria, type: "file" }));
  const state = element("p", { class: "hint", role: "status" });
  made.append(state);
  let content;
  let reading = false;
  input.addEventListener("change", async () => {
    const [chosen] = input.files;
    content = undefined;
    state.textContent = "";
    reading = Boolean(chosen);
    if (!chosen) {
      return;
    }
    const read = await base64(chosen).catch(() => null);
    if (input.files[0] !== chosen) {
      // Another one was chosen meanwhile.
      return;
    }
    reading = false;
    if (read === null) {
      showProblem(input, "The file can't be read.");
    } else {
      content = read;
      state.textContent = size(chosen.size);
    }
  });
  // A file is nobody else's, and too long for an address.
  return single({
    element: made,
    read() {
      if (reading) {
        throw new Problem("The file is still being read; try again in a moment.", input);
      }
      if (content === undefined && required) {
        throw missing(input, label);
      }
      return content;
    },
    fill(value) {
      if (typeof value !== "string") {
        return false;
      }
      content = value;
      state.textContent = `The file of that task, ${size(Math.floor((value.replace(/=+$/, "").length * 3) / 4))}; choose another to replace it.`;
      return true;
    },
    isTouched: () => content !== undefined || reading,
  }, true);
}

function base64(chosen) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result.slice(reader.result.indexOf(",") + 1)));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(chosen);
  });
}
