"use strict";
// Tables that can be copied, and hints at what scrolls. Without scripts the page lacks these and nothing else.

function cellsOf(table) {
  return [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent.trim().replace(/\s+/g, " ")));
}

function plainNumber(cell) {
  if (cell === "\u2013") return "";
  return /^[-\u2212]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(cell) ? cell.replaceAll(",", "") : cell;
}

const FORMS = {
  tsv: (rows) => rows.map((row) => row.map(plainNumber).join("\t")).join("\n"),
  markdown: ([head, ...rows]) => {
    const line = (row) => `| ${row.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    return [line(head), line(head.map((_, index) => (index ? "---:" : "---"))), ...rows.map(line)].join("\n");
  },
};

function offerByHand(tools, text) {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.value = text;
  box.setAttribute("aria-label", "The table as text");
  tools.querySelector("textarea")?.remove();
  tools.append(box);
  box.focus();
  box.select();
}

async function copyTable(button) {
  const tools = button.closest(".tools"), status = tools.querySelector("[role=status]");
  const table = tools.parentElement.querySelector("table");
  const text = FORMS[button.dataset.copy](cellsOf(table)) + "\n";
  try {
    await navigator.clipboard.writeText(text);
    status.textContent = "Copied.";
  } catch {
    offerByHand(tools, text);
    status.textContent = "The text is selected: copy it with Ctrl+C or \u2318C.";
  }
}

for (const tools of document.querySelectorAll(".tools")) tools.hidden = false;
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copyTable(button));

const overflowing = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const hint = target.previousElementSibling;
    if (hint?.matches(".more")) hint.hidden = target.scrollWidth <= target.clientWidth + 1;
  }
});
for (const box of document.querySelectorAll(".scroll")) overflowing.observe(box);

// All points: when the table is opened it is made of the file that can be downloaded.
function rowsOf(csv) {
  const cells = (line) => [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)];
  return csv.trim().split("\n").map((line) => cells(line).map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain));
}

function tableOfPoints(text) {
  const table = document.createElement("table");
  table.className = "points";
  const [head, ...rows] = rowsOf(text);
  const caption = table.createCaption();
  caption.className = "unseen";
  caption.textContent = "All points";
  const top = table.createTHead().insertRow(), body = table.createTBody();
  for (const name of head) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = name;
    top.append(cell);
  }
  for (const row of rows) {
    const line = body.insertRow();
    for (const value of row) line.insertCell().textContent = value;
  }
  return table;
}

const listed = document.getElementById("listed");
if (listed) {
  listed.hidden = false;
  listed.addEventListener("toggle", () => {
    const box = listed.querySelector(".scroll");
    if (!listed.open || box.firstElementChild) return;
    const address = document.getElementById("csv").getAttribute("href");
    box.append(tableOfPoints(decodeURIComponent(address.slice(address.indexOf(",") + 1))));
  });
}

// An enlarged picture: the way to close it has the focus, and Escape closes it.
addEventListener("hashchange", () => document.querySelector("figure:target .close")?.focus());
addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector("figure:target .close")?.click();
});
