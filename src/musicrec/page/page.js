"use strict";
// Draws every chart; `charts` then holds its Vega view by name, and `drawn` is settled.
const specs = JSON.parse(document.getElementById("specs").textContent);
window.charts = {};
window.drawn = Promise.all(
  Object.entries(specs).map(async ([key, spec]) => {
    const options = { renderer: "svg", actions: false, tooltip: { theme: "custom" } };
    const result = await vegaEmbed(`#chart-${key}`, spec, options);
    window.charts[key] = result.view;
  }),
).then(() => (document.documentElement.dataset.drawn = "yes"));
