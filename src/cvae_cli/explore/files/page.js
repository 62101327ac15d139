// The page: which models it shows, and which of its tabs is open.
import { get } from "./api.js";
import { h, Pane, state } from "./parts.js";
import * as draw from "./draw.js";
import * as latent from "./latent.js";
import * as map from "./map.js";
import * as morph from "./morph.js";
import * as runs from "./runs.js";

const model = document.getElementById("model");
const beside = document.getElementById("beside");
const tabs = [...document.querySelectorAll("[role=tab]")];
const parts = {};

function open(name, given) {
  if (given) document.getElementById(`tab-${name}`).focus(); // what was pressed is about to be hidden
  for (const tab of tabs) {
    const isChosen = tab.id === `tab-${name}`;
    const panel = document.getElementById(tab.getAttribute("aria-controls"));
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    if (!isChosen && !panel.hidden) parts[panel.id].left?.();
    panel.hidden = !isChosen;
  }
  history.replaceState(null, "", `#${name}`);
  parts[name].opened(given);
}

function choose() {
  const before = state.model;
  state.model = state.models.find((each) => each.name === model.value);
  state.beside = state.models.find((each) => each.name === beside.value && each !== state.model) || null;
  Object.values(parts).forEach((part) => part.changed(state.model !== before));
}

tabs.forEach((tab, index) => {
  const name = tab.getAttribute("aria-controls");
  tab.addEventListener("click", () => open(name));
  tab.addEventListener("keydown", (event) => {
    const place = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (place === undefined) return;
    event.preventDefault();
    const next = tabs[(place + tabs.length) % tabs.length];
    next.focus();
    open(next.getAttribute("aria-controls"));
  });
});

async function begin() {
  const about = await get("/api/about");
  state.models = about.models;
  state.open = open;
  model.replaceChildren(...about.models.map((each) => h("option", {}, each.name)));
  beside.replaceChildren(h("option", { value: "" }, "no other model"), ...about.models.map((each) => h("option", {}, each.name)));
  Object.assign(parts, { draw: draw.start(about), latent: latent.start(about), morph: morph.start(about), map: map.start(about), runs: runs.start(about) });
  model.addEventListener("change", choose);
  beside.addEventListener("change", choose);
  document.getElementById("footer").textContent = `cvae-cli ${about.version}. Everything on this page comes from this machine.`;
  choose();
  const wanted = location.hash.slice(1);
  open(wanted in parts ? wanted : about.tab);
}

begin().catch((error) => {
  const pane = new Pane({ name: "cvae explore" });
  document.getElementById("main").append(pane.element);
  pane.complain(error);
});
