// Draw pictures of a prompt; they appear as they are drawn.
import { ask } from "./api.js";
import { bindOutputs, code, download, h, isStrange, makePanes, shelve, showChips, state, tile } from "./parts.js";

const place = document.getElementById("draw");
const form = place.querySelector("form");
const chips = form.querySelector(".chips");
let panes = [];

export function start() {
  const showOutputs = bindOutputs(form);
  form.addEventListener("submit", (event) => { event.preventDefault(); draw(); });
  form.addEventListener("change", (event) => { if (event.target.type === "range") draw(); });
  form.querySelector("[data-dice]").addEventListener("click", () => {
    form.seed.value = Math.floor(Math.random() * 100000);
    draw();
  });
  return { changed: (isOther) => { showModel(isOther); showOutputs(); if (state.model) draw(); }, opened: () => {} };
}

function showModel(isOther) {
  const model = state.model;
  const { prompt } = form.elements;
  if (isOther && isStrange(model, prompt.value)) prompt.value = model.prompts?.[0] ?? "";
  showChips(chips, model, prompt, draw);
  form.querySelector("[data-conditional]").hidden = model.kind === "none";
  const guidance = form.querySelector("[data-guidance]");
  guidance.hidden = model.guidance === null || model.guidance === undefined;
  if (guidance.hidden) return;
  form.guidance.max = model.most_guidance;
  form.guidance.value = model.guidance;
}

function question(model) {
  const { prompt, seed, n, temperature, guidance } = form.elements;
  const wanted = { model: model.name, prompt: prompt.value, seed: Number(seed.value), n: Number(n.value), temperature: Number(temperature.value) };
  const isOwn = model.guidance == null || Number(guidance.value) === model.guidance;
  return isOwn ? wanted : { ...wanted, guidance: Number(guidance.value) };
}

function draw() {
  if (!form.reportValidity()) return;
  panes.forEach((pane) => pane.control?.abort());
  panes = makePanes(place.querySelector(".panes"));
  panes.forEach(drawWith);
}

function drawWith(pane) {
  const wanted = question(pane.model);
  const waits = Array.from({ length: wanted.n }, () => h("li", {}, h("div", { class: "waits" })));
  const tiles = h("ul", { class: wanted.n === 1 ? "tiles one" : "tiles" }, ...waits);
  pane.body.replaceChildren(tiles);
  pane.work((signal) => ask("draw", wanted, (part) => {
    if (pane.hear(part)) return;
    if (part.picture) {
      const look = h("button", { type: "button", class: "quiet", onclick: () => state.open("latent", part.picture) }, "Latent");
      waits.shift().replaceWith(tile(part.picture, [download(part.picture), look]));
      shelve(part.picture);
    } else if (part.command) {
      pane.about.textContent = `seed ${wanted.seed} · ${part.seconds.toFixed(1)} s`;
      pane.body.append(code(part.command));
    }
  }, signal)).then((isDone) => { if (!isDone) waits.forEach((each) => each.remove()); });
}
