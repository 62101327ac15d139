// A picture through the model and back, and sliders that move its latent.
import { ask, latest } from "./api.js";
import { chosenModels, code, download, figure, h, makePanes, Pane, shelve, showChips, showShelf, state } from "./parts.js";

const NUMBERS = 16; // single numbers that have a slider from the beginning
const place = document.getElementById("latent");
const prompt = place.querySelector("[name=prompt]");
let picture = null;

export function start() {
  const drop = place.querySelector("[data-drop]");
  const file = drop.querySelector("input");
  file.addEventListener("change", () => { if (file.files.length) upload(file.files[0]); file.value = ""; });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (place.hidden && kind === "drop" && event.dataTransfer.files.length) state.open("latent");
      event.preventDefault(); // or the browser would leave this page for the file
      drop.classList.toggle("over", kind === "dragover");
      if (kind === "drop" && event.dataTransfer.files.length) upload(event.dataTransfer.files[0]);
    });
  }
  prompt.addEventListener("change", look);
  state.listeners.push(showPictures);
  showPictures();
  return { changed: () => { showModel(); look(); }, opened: (chosen) => { if (chosen) choose(chosen); } };
}

function showModel() {
  const needsPrompt = chosenModels().some((model) => model.kind !== "none");
  place.querySelector("[data-conditional]").hidden = !needsPrompt;
  showChips(place.querySelector(".chips"), state.model, prompt, look);
}

const showPictures = () => showShelf(place.querySelector(".shelf"), picture, choose);

function choose(chosen) {
  picture = chosen;
  prompt.value = chosen.shows ?? chosen.prompt ?? ""; // never what another picture shows
  showModel();
  showPictures();
  look();
  if (!prompt.value) prompt.focus();
}

async function upload(file) {
  const pane = new Pane({ name: file.name });
  place.querySelector(".panes").replaceChildren(pane.element);
  place.querySelector(".empty").hidden = true;
  await pane.work((signal) => ask("pictures", file, (part) => {
    if (pane.hear(part) || !part.picture) return;
    shelve(part.picture);
    choose(part.picture);
  }, signal));
}

function look() {
  if (!picture || !state.model) return;
  picture.shows = prompt.value.trim();
  place.querySelector(".empty").hidden = true;
  makePanes(place.querySelector(".panes")).forEach((pane) => lookWith(pane, picture));
}

function lookWith(pane, chosen) {
  const question = { model: pane.model.name, picture: chosen.key };
  if (pane.model.kind !== "none") {
    question.prompt = prompt.value.trim();
    if (!question.prompt) {
      pane.body.replaceChildren(h("p", { class: "said", role: "status" }, `Say what the picture shows: ${pane.model.name} encodes a picture together with its prompt.`));
      return;
    }
  }
  const figures = h("div", { class: "figures" });
  const scores = h("p", { class: "soft" });
  const below = h("div");
  pane.body.replaceChildren(figures, scores, below);
  pane.work(async (signal) => {
    await ask("reconstruct", question, (part) => {
      if (pane.hear(part)) return;
      const { mse, ssim } = part.scores;
      const closeness = ssim === undefined ? "" : ` · SSIM ${ssim.toFixed(3)}`;
      const error = figure("", "Where the reconstruction differs; white is large", "difference");
      figures.replaceChildren(
        figure(part.original, `The picture ${chosen.name}`, "picture"),
        figure(part.reconstruction, "Its reconstruction", "reconstruction"),
        error,
      );
      scores.textContent = `Squared error, summed over the pixels: ${mse.toPrecision(4)}${closeness}`;
      difference(part.original, part.reconstruction).then((source) => { error.querySelector("img").src = source; });
      pane.command = part.command;
    }, signal);
    below.replaceChildren(code(pane.command));
    await ask("directions", { model: pane.model.name }, (part) => {
      if (!pane.hear(part)) showSliders(pane, part, question, figures, below);
    }, signal);
  });
}

// The absolute difference of two pictures, as bright as its largest value allows.
async function difference(first, second) {
  const pixels = await Promise.all([first, second].map(async (source) => {
    const image = new Image();
    image.src = source;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, image.width, image.height);
  }));
  const [a, b] = pixels.map((each) => each.data);
  const sums = Array.from({ length: a.length / 4 }, (_, i) => [0, 1, 2].reduce((sum, c) => sum + Math.abs(a[4 * i + c] - b[4 * i + c]), 0));
  const most = Math.max(...sums, 1);
  sums.forEach((sum, i) => { a.fill(Math.round(255 * sum / most), 4 * i, 4 * i + 3); });
  const canvas = h("canvas", { width: pixels[0].width, height: pixels[0].height });
  canvas.getContext("2d").putImageData(pixels[0], 0, 0);
  return canvas.toDataURL();
}

function showSliders(pane, found, question, figures, below) {
  const amounts = {};
  const moved = figure(figures.querySelectorAll("img")[1].src, "The moved latent, decoded", "moved", true);
  figures.append(moved);
  const lines = h("details", {}, h("summary", {}, "The same in Python"));
  const status = h("p", { class: "status", role: "status" });
  const save = h("span");
  const move = latest(async () => {
    try {
      await ask("move", { ...question, amounts }, (part) => {
        if (!part.picture) return;
        moved.querySelector("img").src = part.picture.src;
        moved.dataset.moves = Number(moved.dataset.moves || 0) + 1;
        lines.replaceChildren(lines.firstChild, code(part.code, "Lines of Python"));
        save.replaceChildren(download(part.picture));
      });
      status.textContent = "";
    } catch (error) {
      pane.said.replaceChildren();
      pane.complain(error);
    }
  });
  const sliders = found.directions.map((name, index) => slider(name, found.shares[index], (value) => {
    if (value) amounts[name] = value;
    else delete amounts[name];
    move();
  }));
  const reset = h("button", { type: "button", onclick: () => {
    Object.keys(amounts).forEach((name) => delete amounts[name]);
    sliders.forEach((each) => each.reset());
    move();
  } }, "Back to the reconstruction");
  const principal = sliders.filter((_, index) => found.directions[index].startsWith("principal"));
  const numbers = sliders.filter((each) => !principal.includes(each));
  const why = found.why ? ` There are no pictures of its data set: ${found.why}.` : "";
  below.append(
    h("h3", {}, "Principal directions"),
    h("p", { class: "soft" }, `Along these the latents of ${found.of} vary most; the percentage is a direction's share of their variance. A slider goes 4 standard deviations to each side.${why}`),
    h("div", { class: "sliders" }, ...principal.map((each) => each.element)),
    h("h3", {}, "Single numbers"),
    h("div", { class: "sliders" }, ...numbers.slice(0, NUMBERS).map((each) => each.element)),
    numbers.length > NUMBERS
      ? h("details", {}, h("summary", {}, `${numbers.length - NUMBERS} more`), h("div", { class: "sliders" }, ...numbers.slice(NUMBERS).map((each) => each.element)))
      : "",
    h("p", {}, reset, " ", save), status, lines,
  );
}

function slider(name, share, changed) {
  const output = h("output", {}, "0");
  const input = h("input", { type: "range", min: -4, max: 4, step: 0.1, value: 0, "aria-label": name });
  const show = () => { output.textContent = Number(input.value) ? Number(input.value).toFixed(1) : "0"; };
  input.addEventListener("input", () => { show(); changed(Number(input.value)); });
  const element = h("label", {}, h("span", {}, `${name} · ${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`), output, input);
  return { element, reset: () => { input.value = 0; show(); } };
}
