// Where the latents of pictures lie: hover to see a picture, click for its reconstruction and its neighbours.
import { ask, latest } from "./api.js";
import { code, figure, h, Pane, shelve, state } from "./parts.js";

const COLOURS = ["#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#8a8a8a", "#bcbd22", "#17becf"];
const NEAR = 14; // pixels from a point within which the mouse means it
const MARGIN = 16;
const place = document.getElementById("map");
const canvas = place.querySelector("canvas");
const glance = place.querySelector(".glance");
const said = place.querySelector("#map-said");
let alone = -1; // the class that is shown alone
let map = null; // what is shown: points, labels, texts, and its model
let hovered = -1;
let opened = -1;
let isOpen = false;
let pane = null;

export function start() {
  place.addEventListener("change", load);
  canvas.addEventListener("pointermove", (event) => hover(nearest(event.offsetX, event.offsetY)));
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("click", (event) => { const found = nearest(event.offsetX, event.offsetY); if (found >= 0) open(found); });
  canvas.addEventListener("keydown", walk);
  new ResizeObserver(paint).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paint);
  return { changed: () => { map = null; if (isOpen) load(); }, opened: () => { isOpen = true; if (!map) load(); }, left: () => { isOpen = false; } };
}

async function load() {
  const model = state.model;
  const method = place.querySelector("[name=method]:checked").value;
  pane?.control?.abort();
  pane = new Pane(model);
  place.querySelector(".panes").replaceChildren(pane.element);
  await pane.work((signal) => ask("map", { model: model.name, method }, (part) => {
    if (pane.hear(part)) return;
    map = { ...part, model, method };
    hovered = opened = alone = -1;
    glance.hidden = true;
    place.querySelector("[data-title]").textContent = part.why ? `${part.title}: ${part.why}.` : `${part.title}. Each dot is a picture's latent.`;
    showLegend();
    place.querySelector("[data-point]").replaceChildren();
    said.textContent = "";
    if (part.command) pane.body.replaceChildren(code(part.command));
    paint();
  }, signal));
}

function showLegend() {
  place.querySelector(".legend").replaceChildren(...map.classes.map((name, index) => {
    const dot = h("i");
    dot.style.background = colour(index);
    const button = h("button", { type: "button", "aria-pressed": String(index === alone) }, dot, name);
    button.addEventListener("click", () => {
      alone = alone === index ? -1 : index;
      [...button.parentElement.children].forEach((each, other) => each.setAttribute("aria-pressed", String(other === alone)));
      paint();
    });
    return button;
  }));
}

const colour = (label) => COLOURS[label % COLOURS.length];

function where(index) {
  const [x, y] = map.points[index];
  const side = Math.min(canvas.clientWidth, canvas.clientHeight) - 2 * MARGIN;
  return [(canvas.clientWidth - side) / 2 + x * side, (canvas.clientHeight - side) / 2 + (1 - y) * side];
}

function paint() {
  const scale = devicePixelRatio;
  canvas.width = canvas.clientWidth * scale;
  canvas.height = canvas.clientHeight * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  if (!map) return;
  const radius = map.points.length > 300 ? 3.2 : 5;
  const ink = getComputedStyle(document.body).color;
  map.points.forEach((_, index) => {
    context.globalAlpha = alone < 0 || map.labels?.[index] === alone ? 0.8 : 0.1;
    context.fillStyle = map.labels ? colour(map.labels[index]) : COLOURS[0];
    dot(context, index, radius);
    context.fill();
  });
  if (!glance.hidden) placeGlance();
  context.globalAlpha = 1;
  context.strokeStyle = ink;
  for (const [index, size, width] of [[hovered, radius + 2, 1.5], [opened, radius + 4, 2.5]]) {
    if (index < 0) continue;
    context.lineWidth = width;
    dot(context, index, size);
    context.stroke();
  }
}

function dot(context, index, radius) {
  const [x, y] = where(index);
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
}

function nearest(x, y) {
  if (!map) return -1;
  let best = -1;
  let least = NEAR ** 2;
  map.points.forEach((_, index) => {
    const [px, py] = where(index);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [best, least] = [index, distance];
  });
  return best;
}

function hover(index) {
  if (index === hovered) return;
  hovered = index;
  paint();
  if (index < 0) { glance.hidden = true; return; }
  peek(index);
}

function placeGlance() {
  if (hovered < 0) return;
  const [x, y] = where(hovered);
  const isRight = x > canvas.clientWidth / 2;
  glance.style.left = `${isRight ? x - 128 : x + 16}px`;
  glance.style.top = `${Math.max(0, Math.min(y - 50, canvas.clientHeight - 150))}px`;
}

const peek = latest(async (index) => {
  const now = map;
  await ask("glance", { model: now.model.name, point: index }, (part) => {
    if (!part.src || map !== now || hovered !== index) return;
    placeGlance();
    glance.querySelector("img").src = part.src;
    glance.querySelector("span").textContent = part.text;
    glance.hidden = false;
    said.textContent = `Picture ${index + 1} of ${now.points.length}: ${part.text}`;
  }).catch((error) => { said.textContent = error.message; });
});

// Arrow keys go to the nearest picture in their direction.
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
function walk(event) {
  if (!map) return;
  if (event.key === "Enter" && hovered >= 0) { open(hovered); return; }
  const way = WAYS[event.key];
  if (!way) return;
  event.preventDefault();
  if (hovered < 0) { hover(nearestToMiddle()); return; }
  const [x, y] = where(hovered);
  let best = -1;
  let least = Infinity;
  map.points.forEach((_, index) => {
    const [dx, dy] = [where(index)[0] - x, where(index)[1] - y];
    const along = dx * way[0] + dy * way[1];
    const across = Math.abs(dx * way[1]) + Math.abs(dy * way[0]);
    if (index !== hovered && along > 0.5 && along + 3 * across < least) [best, least] = [index, along + 3 * across];
  });
  if (best >= 0) hover(best);
}

function nearestToMiddle() {
  const distance = ([x, y]) => (x - 0.5) ** 2 + (y - 0.5) ** 2;
  return map.points.reduce((best, point, index) => (distance(point) < distance(map.points[best]) ? index : best), 0);
}

function open(index) {
  opened = index;
  paint();
  const place_ = place.querySelector("[data-point]");
  const figures = h("div", { class: "figures" });
  const neighbours = h("div", { class: "shelf", role: "group", "aria-label": "Its neighbours" });
  place_.replaceChildren(figures, h("h3", {}, "Nearest latents"), neighbours);
  pane.work((signal) => ask("point", { model: map.model.name, point: index }, (part) => {
    if (pane.hear(part)) return;
    if (part.reconstruction) figures.append(figure(part.reconstruction, "Its reconstruction", "reconstruction"));
    else if (part.neighbour) {
      const button = h("button", { type: "button", title: part.neighbour.prompt, onclick: () => open(part.neighbour.point) },
        h("img", { src: part.neighbour.src, alt: part.neighbour.prompt || part.neighbour.name }));
      neighbours.append(button);
    } else if (part.picture) {
      shelve(part.picture);
      figures.append(figure(part.picture.src, part.picture.prompt || part.picture.name, part.picture.prompt || "picture"));
      figures.after(h("button", { type: "button", onclick: () => state.open("latent", part.picture) }, "Drag its latent"));
    }
  }, signal));
}
