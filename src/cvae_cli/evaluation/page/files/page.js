"use strict";
// The slider of an interpolation shows one step of each model, large. Without this script all steps are there, small.
for (const part of document.querySelectorAll("[data-interpolation]")) {
  const slider = part.querySelector("input");
  const output = part.querySelector("output");
  const lists = [...part.querySelectorAll(".steps")];
  const show = () => {
    const step = Number(slider.value);
    for (const list of lists) {
      const frame = list.parentElement.querySelector(".frame");
      [...list.children].forEach((item, index) => item.classList.toggle("chosen", index === step));
      const chosen = list.children[step].querySelector("img");
      frame.src = chosen.src;
      frame.alt = chosen.alt;
      frame.hidden = false;
    }
    output.textContent = `${step + 1} of ${Number(slider.max) + 1}`;
    slider.setAttribute("aria-valuetext", output.textContent);
  };
  slider.addEventListener("input", show);
  part.querySelector(".slider").hidden = false;
  show();
}
// On paper everything is open.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
