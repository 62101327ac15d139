// The way from one prompt or picture to another, with a slider to go along it; two models go together.
import { ask } from "./api.js";
import { code, download, h, isStrange, makePanes, showShelf, state } from "./parts.js";

const place = document.getElementById("morph");
const form = place.querySelector("form");
const chosen = { start: null, end: null };
let panes = [];
let walks = []; // one function a pane, which shows a step there

export function start() {
  form.addEventListener("submit", (event) => { event.preventDefault(); morph(); });
  for (const end of ["start", "end"]) {
    form.elements[end].addEventListener("input", () => { chosen[end] = null; showPictures(); });
  }
  state.listeners.push(showPictures);
  showPictures();
  return { changed: showModel, opened: () => {} };
}

function showModel(isOther) {
  const { start, end } = form.elements;
  const prompts = state.model.prompts || [];
  form.querySelector("datalist").replaceChildren(...prompts.map((prompt) => h("option", {}, prompt)));
  if (isOther && !chosen.start && isStrange(state.model, start.value)) start.value = prompts[0] ?? "";
  if (isOther && !chosen.end && isStrange(state.model, end.value)) end.value = prompts[prompts.length > 7 ? 7 : prompts.length - 1] ?? "";
}

function showPictures() {
  for (const end of ["start", "end"]) {
    showShelf(form.querySelector(`[data-end=${end}] .shelf`), chosen[end], (picture) => {
      chosen[end] = chosen[end]?.key === picture.key ? null : picture;
      form.elements[end].value = chosen[end] ? "" : form.elements[end].value;
      form.elements[end].placeholder = chosen[end] ? picture.name : "";
      form.elements.prompt.value ||= picture.shows ?? picture.prompt ?? "";
      showPictures();
    });
  }
  const isAsked = Boolean(chosen.start || chosen.end) && state.model?.kind !== "none";
  form.querySelector("[data-shows]").hidden = !isAsked;
  form.elements.prompt.required = isAsked;
}

function morph() {
  place.querySelector(".empty").hidden = true;
  panes.forEach((pane) => pane.control?.abort());
  panes = makePanes(place.querySelector(".panes"));
  walks = [];
  panes.forEach(morphWith);
}

function morphWith(pane) {
  const end = (name) => (chosen[name] ? { picture: chosen[name].key } : { prompt: form.elements[name].value });
  const question = { model: pane.model.name, start: end("start"), end: end("end"), steps: Number(form.steps.value) };
  if (!form.querySelector("[data-shows]").hidden) question.prompt = form.elements.prompt.value;
  const pictures = [];
  pane.work((signal) => ask("morph", question, (part) => {
    if (pane.hear(part)) return;
    if (part.picture) pictures.push(part.picture);
    else pane.body.replaceChildren(...walk(pictures), code(part.command));
  }, signal));
}

function walk(pictures) {
  const stage = h("img", { class: "crisp", alt: "" });
  const output = h("output");
  const save = h("span");
  const slider = h("input", { type: "range", min: 0, max: pictures.length - 1, value: 0, "aria-label": "Step of the morph" });
  const steps = pictures.map((picture, index) => h("button", { type: "button", "aria-label": `Step ${index + 1}`, onclick: () => goTogether(index) },
    h("img", { src: picture.src, alt: "" })));
  const go = (step) => {
    slider.value = step;
    output.textContent = `${step + 1} of ${pictures.length}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    stage.src = pictures[step].src;
    stage.alt = `Step ${step + 1} of the morph`;
    save.replaceChildren(download(pictures[step]));
    steps.forEach((each, index) => each.setAttribute("aria-current", String(index === step)));
  };
  slider.addEventListener("input", () => goTogether(Number(slider.value)));
  walks.push(go);
  go(0);
  return [
    h("div", { class: "stage" }, stage, h("label", { class: "field" }, "Step ", output, slider), save),
    h("ol", { class: "strip" }, ...steps.map((each) => h("li", {}, each))),
  ];
}

const goTogether = (step) => walks.forEach((go) => go(step));
