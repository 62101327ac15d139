// Parts that all tabs share: elements, panes of models, pictures on the page, and what is said while one waits.
import { Refusal } from "./api.js";

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const state = { models: [], model: null, beside: null, shelf: [], listeners: [], open: () => {} };

export const chosenModels = () => [state.model, state.beside].filter(Boolean);

// ---- the shelf: pictures that were drawn, dropped or found, the newest first
const MAX_ON_SHELF = 24;

export function shelve(picture) {
  state.shelf = [picture, ...state.shelf.filter((each) => each.key !== picture.key)].slice(0, MAX_ON_SHELF);
  state.listeners.forEach((listener) => listener());
}

export function showShelf(place, chosen, choose) {
  place.replaceChildren(...state.shelf.map((picture) => h(
    "button",
    { type: "button", title: picture.name, "aria-pressed": String(picture.key === chosen?.key), onclick: () => choose(picture) },
    h("img", { src: picture.src, alt: picture.prompt ? `${picture.name}: ${picture.prompt}` : picture.name }),
  )));
}

// ---- panes: what one model has to say
export class Pane {
  constructor(model, kept) {
    this.model = model;
    this.status = h("p", { class: "status", role: "status" });
    this.said = h("div");
    this.body = kept || h("div");
    this.about = h("span", { class: "soft" });
    this.element = h("section", { class: "pane", "aria-label": model.name },
      h("h2", {}, model.name, this.about), this.status, this.said, this.body);
    this.control = null;
  }

  // Do something that waits for the program, and say how far it is and what has gone wrong.
  async work(what) {
    this.control?.abort();
    const control = new AbortController();
    this.control = control;
    this.said.replaceChildren();
    this.say("", true);
    try {
      await what(control.signal);
      if (this.control === control) this.say("");
      return true;
    } catch (error) {
      if (error.name === "AbortError") return false;
      if (this.control === control) {
        this.say("");
        this.complain(error);
      }
      return false;
    }
  }

  say(text, isBusy = false) {
    this.status.textContent = text;
    this.status.classList.toggle("busy", isBusy);
  }

  // Returns whether a part of an answer was about the work itself.
  hear(part) {
    if (part.waiting) this.say(`${part.waiting} before this one`, true);
    else if (part.progress) this.say(part.total ? `${part.progress} ${part.done} of ${part.total}` : part.progress, true);
    else if (part.note) this.said.append(h("p", { class: "said" }, part.note));
    else return false;
    return true;
  }

  complain(error) {
    const hint = error instanceof Refusal ? error.hint : String(error.stack || "");
    this.said.append(h("p", { class: "said error", role: "alert" }, error.message, hint ? h("span", { class: "hint" }, hint) : null));
  }
}

export function makePanes(place) {
  const panes = chosenModels().map((model) => new Pane(model));
  place.replaceChildren(...panes.map((pane) => pane.element));
  return panes;
}

// ---- a command to copy
export function code(text, label = "Command") {
  // a word is broken only where it is longer than a line
  const words = text.split(/( +|\n)/).map((word) => (word.trim() ? h("span", {}, word) : word));
  const button = h("button", { type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  return h("div", { class: "code" }, h("pre", { "aria-label": label }, h("code", {}, ...words)), button);
}

export function tile(picture, under) {
  const image = h("img", { src: picture.src, alt: picture.prompt || picture.name });
  return h("li", {}, image, h("div", { class: "under" }, ...under));
}

export function download(picture) {
  return h("a", { class: "quiet", href: picture.src, download: picture.name, "aria-label": `Save ${picture.name}` }, "Save");
}

export function figure(src, alt, caption, isMain = false) {
  return h("figure", isMain ? { class: "main-figure" } : {}, h("img", { src, alt }), h("figcaption", {}, ...[caption].flat()));
}

// ---- prompts to begin with
// Whether a prompt is nothing for this model: empty, no class of it, or one that the page has put there for another model.
export function isStrange(model, text) {
  if (!text) return true;
  if (model.prompts?.includes(text)) return false;
  return model.kind === "labels" || state.models.some((each) => each.prompts?.includes(text));
}

export function showChips(place, model, input, changed) {
  const prompts = model.kind === "none" ? [] : model.prompts || [];
  const mark = () => [...place.children].forEach((chip) => chip.setAttribute("aria-pressed", String(chip.textContent === input.value)));
  input.oninput = mark;
  place.replaceChildren(...prompts.map((prompt) => h("button", {
    type: "button",
    onclick: () => { input.value = prompt; mark(); changed(); },
  }, prompt)));
  mark();
}

export function bindOutputs(form) {
  const show = () => form.querySelectorAll(".field output").forEach((output) => {
    output.textContent = output.parentElement.querySelector("input").value;
  });
  form.addEventListener("input", show);
  show();
  return show;
}
