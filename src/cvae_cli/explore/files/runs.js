// Trainings: their curves and samples, which follow one that is going on.
import { get } from "./api.js";
import { h } from "./parts.js";

const EVERY = 2000; // milliseconds between two looks
const CURVES = [["negative_elbo", "-ELBO", ["rate", "distortion"]], ["rate", "rate (KL)", ["rate"]], ["distortion", "distortion", ["distortion"]]];
const place = document.getElementById("runs");
const choice = place.querySelector("select");
let timer = null;
let shown = null;
let isFollowing = true; // the last samples are shown, unless the user looks at others

export function start(about) {
  choice.replaceChildren(...about.runs.map((name) => h("option", {}, name)));
  choice.addEventListener("change", () => { shown = null; isFollowing = true; look(); });
  if (!about.runs.length) say("There is no run. Train one:  cvae train fashion-fast");
  return {
    changed: () => {},
    opened: () => { look(); timer ??= setInterval(look, EVERY); },
    left: () => { clearInterval(timer); timer = null; },
  };
}

const say = (text) => { place.querySelector("[data-status]").textContent = text; };

async function look() {
  if (!choice.value) return;
  const name = choice.value;
  try {
    const run = await get(`/api/runs/${encodeURIComponent(name)}${shown ? `?version=${encodeURIComponent(shown.version)}` : ""}`);
    if (run && name === choice.value) show(run);
  } catch (error) {
    say(error.message);
  }
}

function show(run) {
  shown = run;
  const stages = Object.entries(run.stages).filter(([, epochs]) => epochs.length);
  say(run.note || stages.map(([stage, epochs]) => `${stage}: epoch ${epochs.at(-1).epoch}`).join(" · "));
  place.querySelector(".key").hidden = !stages.length;
  place.querySelector(".curves").replaceChildren(...stages.flatMap(([stage, epochs]) => CURVES.map((what) => curve(stage, epochs, ...what))));
  place.querySelector(".table").replaceChildren(...stages.map(([stage, epochs]) => table(stage, epochs)));
  showGrids(run);
}

function table(stage, epochs) {
  const best = epochs.reduce((a, b) => (b.valid.negative_elbo < a.valid.negative_elbo ? b : a));
  const row = (name, value) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value));
  return h("table", {}, h("caption", { class: "soft" }, stage), h("tbody", {},
    row("lowest -ELBO", best.valid.negative_elbo.toFixed(1)), row("in epoch", String(best.epoch)),
    row("time", `${(epochs.at(-1).seconds / 60).toFixed(1)} min`)));
}

const SVG = "http://www.w3.org/2000/svg";
function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text) element.textContent = text;
  return element;
}

const LEFT = 64; // of a curve: room for numbers like -16,882.1

// One curve: of the validation pictures as a line, of training dashed. A high start is cut off.
function curve(stage, epochs, name, label, parts) {
  const valid = epochs.map((epoch) => [epoch.epoch, epoch.valid[name]]);
  const train = epochs.filter((epoch) => parts.every((part) => part in epoch.train))
    .map((epoch) => [epoch.epoch, parts.reduce((sum, part) => sum + epoch.train[part], 0)]);
  const values = [...valid, ...train].map(([, value]) => value).sort((a, b) => a - b);
  const low = values[0];
  const high = Math.max(values[Math.floor(0.95 * (values.length - 1))], low + 1e-9 + Math.abs(low) * 1e-4); // not so near that numbers need decimals
  const [first, last] = [valid[0][0], Math.max(valid.at(-1)[0], valid[0][0] + 1)];
  const x = (epoch) => LEFT + (epoch - first) / (last - first) * (348 - LEFT);
  const y = (value) => 172 - Math.max(0, Math.min(1.06, (value - low) / (high - low))) * 150;
  const svg = draw("svg", { viewBox: "0 0 360 200", role: "img", "aria-label": `${label} of the ${stage} over ${epochs.length} epochs; the last value is ${valid.at(-1)[1].toFixed(1)}` });
  const decimals = Math.max(0, Math.min(4, 1 - Math.floor(Math.log10(high - low))));
  for (const part of [0, 0.5, 1]) {
    const value = low + part * (high - low);
    const said = value.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals });
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: 348, y1: y(value), y2: y(value) }), draw("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, said));
  }
  svg.append(draw("text", { x: LEFT, y: 190 }, `epoch ${first}`), draw("text", { x: 348, y: 190, "text-anchor": "end" }, String(valid.at(-1)[0])));
  for (const [kind, points] of [["train", train], ["valid", valid]]) {
    if (points.length > 1) svg.append(draw("polyline", { class: kind, points: points.map(([e, v]) => `${x(e)},${y(v)}`).join(" ") }));
  }
  svg.append(draw("circle", { cx: x(valid.at(-1)[0]), cy: y(valid.at(-1)[1]), r: 3.5 }));
  return h("figure", { class: "card" }, h("figcaption", {}, `${label} of the ${stage}, nats`), svg);
}

function showGrids(run) {
  const grids = place.querySelector(".grids");
  if (!run.grids.length) { grids.replaceChildren(); return; }
  const before = grids.querySelector("input");
  const step = isFollowing || !before ? run.grids.length - 1 : Math.min(Number(before.value), run.grids.length - 1);
  const image = h("img", { alt: "" });
  const output = h("output");
  const slider = h("input", { type: "range", min: 0, max: run.grids.length - 1, value: step, "aria-label": "Epoch of the samples" });
  const go = () => {
    const { stage, of, epoch } = run.grids[Number(slider.value)];
    output.textContent = `${of ? `${of}, ` : ""}epoch ${epoch}`;
    slider.setAttribute("aria-valuetext", output.textContent);
    image.src = `/api/runs/${encodeURIComponent(run.name)}/grid/${stage}/${epoch}.png`;
    image.alt = `Samples of ${output.textContent}`;
  };
  slider.addEventListener("input", () => { isFollowing = Number(slider.value) === run.grids.length - 1; go(); });
  go();
  grids.replaceChildren(h("h3", {}, "Samples"), h("label", { class: "field" }, "Epoch ", output, slider), h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Samples" }, image));
}
