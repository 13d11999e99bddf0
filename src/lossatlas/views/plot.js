const figure = JSON.parse(document.getElementById("figure").textContent);
const plot = document.getElementById("plot"), stage = document.getElementById("stage");
const motion = stage.dataset.motion;
const NARROW = 560; // pixels
let narrow = stage.clientWidth < NARROW;

// The figure's layout in the colours of the page and for its width; what somebody has turned or moved stays.
function dressed() {
  const style = getComputedStyle(document.documentElement), now = plot.layout;
  const ink = style.getPropertyValue("--ink").trim(), line = style.getPropertyValue("--line").trim();
  const colours = { color: ink, gridcolor: line, zerolinecolor: line };
  const layout = { ...figure.layout, font: { color: ink, size: narrow ? 11 : 12 } };
  layout.margin = { ...layout.margin, ...(narrow ? { l: 8, r: 8 } : {}), ...(layout.scene ? { t: 0, b: 10 } : {}) };
  // A finger that moves over a map scrolls the page; buttons move the map.
  if (motion !== "turn") layout.dragmode = matchMedia("(pointer: coarse)").matches ? false : "pan";
  for (const name of ["xaxis", "yaxis", "yaxis2"]) {
    if (!(name in layout)) continue;
    layout[name] = { ...layout[name], ...colours, automargin: true };
    if (narrow) layout[name].nticks = 6;
    if (now?.[name]?.autorange === false) Object.assign(layout[name], { range: now[name].range, autorange: false });
  }
  if (layout.scene) {
    layout.scene = { ...layout.scene, camera: now?.scene?.camera ?? layout.scene.camera };
    for (const name of ["xaxis", "yaxis", "zaxis"]) {
      layout.scene[name] = { ...layout.scene[name], ...colours, ...(narrow ? { nticks: 5, tickfont: { size: 10 } } : {}) };
    }
  }
  return layout;
}

function redress() {
  return Plotly.relayout(plot, dressed());
}

// Moves: by keys, and by buttons that stand for keys.
const ANGLE = Math.PI / 18, STRIDE = 0.15, ZOOM = 1.25;

function turn(key) {
  const camera = plot.layout.scene.camera, centre = { x: 0, y: 0, z: 0, ...camera.center };
  const away = ["x", "y", "z"].map((axis) => camera.eye[axis] - centre[axis]);
  let distance = Math.hypot(...away), around = Math.atan2(away[1], away[0]), above = Math.asin(away[2] / distance);
  if (key === "ArrowLeft") around -= ANGLE;
  if (key === "ArrowRight") around += ANGLE;
  if (key === "ArrowUp") above = Math.min(above + ANGLE, 1.5);
  if (key === "ArrowDown") above = Math.max(above - ANGLE, -1.5);
  if (key === "+") distance /= ZOOM;
  if (key === "-") distance *= ZOOM;
  const level = distance * Math.cos(above);
  const eye = { x: centre.x + level * Math.cos(around), y: centre.y + level * Math.sin(around), z: centre.z + distance * Math.sin(above) };
  const next = key === "0" ? figure.layout.scene.camera : { ...camera, eye };
  return Plotly.relayout(plot, { "scene.camera": next });
}

function shifted([low, high], steps, zoom) {
  const shift = steps * STRIDE * (high - low), middle = (low + high) / 2, half = ((high - low) / 2) * zoom;
  return [middle - half + shift, middle + half + shift];
}

function move(key) {
  const axes = motion === "along" ? ["xaxis"] : ["xaxis", "yaxis"];
  if (key === "0") return Plotly.relayout(plot, Object.fromEntries(["xaxis", "yaxis"].map((axis) => [`${axis}.autorange`, true])));
  const zoom = { "+": 1 / ZOOM, "-": ZOOM }[key] ?? 1;
  const steps = { xaxis: { ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0, yaxis: { ArrowDown: -1, ArrowUp: 1 }[key] ?? 0 };
  return Plotly.relayout(plot, Object.fromEntries(axes.map((axis) => [`${axis}.range`, shifted(plot.layout[axis].range, steps[axis], zoom)])));
}

const KEYS = ["ArrowLeft", "ArrowRight", "+", "-", "0", ...(motion === "along" ? [] : ["ArrowUp", "ArrowDown"])];
const go = motion === "turn" ? turn : move;
stage.addEventListener("keydown", (event) => {
  const key = { "=": "+", "\u2212": "-", _: "-" }[event.key] ?? event.key;
  if (event.target !== stage || event.ctrlKey || event.metaKey || event.altKey || !KEYS.includes(key)) return;
  event.preventDefault();
  go(key);
});
for (const button of document.querySelectorAll("[data-key]")) button.addEventListener("click", () => go(button.dataset.key));

document.getElementById("choice")?.addEventListener("change", ({ target }) => {
  Plotly.restyle(plot, { visible: figure.data.map((_, index) => index === Number(target.value)) });
  stage.setAttribute("aria-label", `Interactive plot of ${target.selectedOptions[0].textContent}`);
});
for (const box of document.querySelectorAll("[data-trace]")) {
  box.addEventListener("change", () => Plotly.restyle(plot, { visible: box.checked || "legendonly" }, [Number(box.dataset.trace)]));
}
const slice = document.getElementById("slice");
if (slice) {
  const depths = JSON.parse(slice.dataset.depths);
  const tell = () => {
    document.getElementById("depth").textContent = depths[slice.value];
    slice.setAttribute("aria-valuetext", `${slice.dataset.axis} = ${depths[slice.value]}`);
  };
  tell();
  slice.addEventListener("input", () => {
    tell();
    const atOnce = { mode: "immediate", frame: { duration: 0, redraw: true }, transition: { duration: 0 } };
    Plotly.animate(plot, [slice.value], atOnce);
  });
}

Plotly.newPlot(plot, {
  data: figure.data, layout: dressed(), frames: figure.frames || [],
  config: { responsive: true, displayModeBar: false },
}).then(() => {
  document.querySelector(".moves").hidden = false;
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redress);
  new ResizeObserver(() => {
    if (narrow === stage.clientWidth < NARROW) return;
    narrow = !narrow;
    redress();
  }).observe(stage);
});
