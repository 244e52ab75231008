// Draws the charts at the width they have, again when it changes; switches list lengths; saves the numbers.
const specs = JSON.parse(document.getElementById("penchant-charts").textContent);

// Colours are variables of the style sheet, so dark mode needs no redrawing.
// Labels of the vertical axis stand left of a legend: `names` letters of 7 pixels, but no more than a limit.
const limit = (width) => Math.max(90, Math.min(260, width * 0.44));
const room = (width, names) => width - Math.min(limit(width), names * 7 + 12) - 16;
const config = (width, { letters, names }) => ({
  background: null,
  font: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
  padding: { left: 0, right: 8, top: 4, bottom: 4 },
  view: { stroke: null },
  axis: {
    labelColor: "var(--soft)", titleColor: "var(--soft)", gridColor: "var(--line)", domainColor: "var(--line)",
    tickColor: "var(--line)", labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400, titlePadding: 10,
    labelLimit: limit(width),
  },
  axisYNominal: { labelFontSize: 12.5, labelColor: "var(--ink)" },
  axisX: { tickCount: width < 480 ? 4 : 8, labelFlush: false },
  legend: {
    labelColor: "var(--ink)", titleColor: "var(--soft)", labelFontSize: 12, titleFontSize: 12, titleFontWeight: 400,
    columns: Math.max(1, Math.floor(room(width, names) / (letters * 7.5 + 30))), labelLimit: room(width, names) - 24, symbolStrokeWidth: 2, offset: 10,
  },
  text: { fontSize: 12 },
});

async function draw(element) {
  const width = Math.floor(element.clientWidth);
  const drawn = Number(element.dataset.drawn ?? 0);
  if (width < 40 || Math.abs(width - drawn) <= 1 || element.dataset.busy) return;
  element.dataset.busy = "yes";
  const spec = structuredClone(specs[Number(element.id.slice("chart-".length))]);
  Object.assign(spec, { width, autosize: { type: "fit-x", contains: "padding" } });
  try {
    await window.vegaEmbed(element, spec, {
      mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, config: config(width, spec.usermeta),
      tooltip: { disableDefaultStyle: true },
    });
    element.style.minHeight = "";
  } finally {
    element.dataset.drawn = String(width);
    delete element.dataset.busy;
  }
  if (Math.floor(element.clientWidth) !== width) await draw(element);
}

// Elements that are hidden have no width: they are drawn when they first get one.
const observer = new ResizeObserver((entries) => { for (const entry of entries) draw(entry.target); });
for (const element of document.querySelectorAll(".chart")) observer.observe(element);

// A frame is a stop of the Tab key only while there is something to scroll in it.
const frames = new ResizeObserver((entries) => {
  for (const { target } of entries) target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
});
for (const frame of document.querySelectorAll(".wide")) frames.observe(frame);

function choose(part, cutoff) {
  for (const field of part.querySelectorAll(".switch")) {
    const inputs = [...field.querySelectorAll("input")];
    if (!inputs.some((input) => input.value === cutoff)) continue; // measured at other lengths: stays as it is
    for (const input of inputs) input.checked = input.value === cutoff;
    for (const panel of field.parentElement.querySelectorAll(":scope > .panel[data-at]")) {
      panel.hidden = panel.dataset.at !== cutoff;
    }
  }
}

let switches = 0;
for (const part of document.querySelectorAll(".part")) {
  for (const field of part.querySelectorAll(".switch")) {
    const name = `list-length-${switches++}`; // a group of its own each, moved together
    const chosen = field.querySelector("input[checked]").value;
    for (const input of field.querySelectorAll("input")) {
      input.name = name;
      input.addEventListener("change", () => choose(part, input.value));
    }
    field.classList.add("live");
    choose(part, chosen);
  }
}

const save = document.getElementById("save");
save.hidden = false;
save.addEventListener("click", () => {
  const numbers = new Blob([document.getElementById("penchant-result").textContent], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(numbers);
  link.download = "report.json";
  link.click();
  URL.revokeObjectURL(link.href);
});
