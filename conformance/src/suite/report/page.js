"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
// A short word for the head of a narrow column.
const SHORT = { "deviates-as-known": "known", "unexpected-pass": "surprise" };
const VERDICTS = { "pass": "✓", "deviates-as-known": "≠", "skipped": "–", "fail": "✗", "unexpected-pass": "!✓", "error": "?" };

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "click") made.addEventListener("click", value); else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function table(head, rows) {
  const line = element("tr", {}, ...head.map((text) => element("th", { scope: "col" }, text)));
  return element("div", { class: "wide" }, element("table", {}, element("thead", {}, line), element("tbody", {}, ...rows)));
}

function show(title, facts, blocks) {
  const dialog = document.getElementById("detail");
  const close = element("form", { method: "dialog" }, element("button", {}, "close"));
  const list = element("dl");
  for (const [name, value] of facts) if (value) list.append(element("dt", {}, name), element("dd", {}, value));
  dialog.replaceChildren(close, element("h3", {}, title), list, ...blocks);
  dialog.showModal();
}

function detail(subject, one) {
  const said = element("pre");
  for (const event of one.transcript || []) {
    const side = event.side === "note" ? "-" : event.side;
    said.append(element("span", { class: event.side }, `${side} ${event.connection}  ${event.text}\n`));
  }
  const found = one.difference;
  show(`${one.name} — ${subject}`, [
    ["verdict", one.verdict], ["must hold", one.about], ["reason", one.reason], ["evidence", one.evidence],
    ["expected", found && `line ${found.line}: ${found.expected}`], ["heard", found && found.heard], ["because", found && found.why],
    ["rules", one.rules.map((rule) => `[${rule.id}] ${rule.text}`).join("  ")], ["file", one.file],
  ], [said]);
}

// Servers and clients are judged by scenarios of their own; a name belongs to one of them only.
const columns = [...new Set(data.subjects.map((subject) => subject.name))];
const scenarios = new Map();
for (const { name, report } of data.subjects) {
  for (const subject of report.subjects) {
    for (const one of subject.scenarios) {
      if (!scenarios.has(one.name)) scenarios.set(one.name, { about: one.about, rules: one.rules, subject: subject.name, judges: report.judges, by: new Map() });
      scenarios.get(one.name).by.set(name, one);
    }
  }
}

document.getElementById("about").textContent =
  `${scenarios.size} scenarios; ${columns.join(", ")}. ✓ as the spec asks, ≠ a known deviation with its reason, – skipped, anything red wants to be looked at.`;

const totals = data.subjects.map(({ name, report }) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, report.judges),
  ...Object.keys(VERDICTS).map((verdict) => {
    const count = report.counts[verdict] || 0;
    return element("td", { class: `number ${count ? verdict : ""}` }, String(count));
  }), element("td", { class: "number" }, report.seconds.toFixed(1))));
document.getElementById("totals").append(element("h2", {}, "Subjects"), table(["subject", "as", ...Object.keys(VERDICTS).map((verdict) => `${VERDICTS[verdict]} ${SHORT[verdict] || verdict}`), "seconds"], totals));

if (data.matrix) {
  const stages = [...new Set(data.matrix.map((cell) => cell.stage))];
  const pairs = new Map();
  for (const cell of data.matrix) {
    const key = `${cell.master} → ${cell.replica}`;
    if (!pairs.has(key)) pairs.set(key, new Map());
    pairs.get(key).set(cell.stage, cell);
  }
  const rows = [...pairs].map(([pair, cells]) => element("tr", {}, element("th", { scope: "row" }, pair), ...stages.map((stage) => {
    const cell = cells.get(stage);
    if (!cell) return element("td");
    const look = !cell.expected ? "surprise" : cell.outcome === "equal" ? "equal" : "known";
    const open = () => show(`${pair}, ${stage}: ${cell.outcome}`, [["reason", cell.reason]], [element("pre", {}, cell.evidence)]);
    return element("td", { class: `cell ${look}` }, element("button", { type: "button", click: open }, cell.outcome));
  })));
  document.getElementById("matrix").append(element("h2", {}, "Who replicates to whom"), table(["master → replica", ...stages], rows));
}

const words = element("input", { type: "search", placeholder: "name, rule or text", "aria-label": "filter" });
const boxes = Object.keys(VERDICTS).map((verdict) => element("input", { type: "checkbox", value: verdict, checked: "" }));
document.getElementById("filters").append(words, ...boxes.map((box) => element("label", {}, box, ` ${VERDICTS[box.value]} ${box.value}`)));

const list = document.getElementById("scenarios");
const sections = new Map();
for (const [name, one] of [...scenarios].sort(([left], [right]) => (left < right ? -1 : 1))) {
  const rules = one.rules.map((rule) => rule.id).join(" ");
  const row = element("tr", {}, element("td", { class: "name" }, name.slice(one.subject.length + 1), element("small", {}, `${one.about} [${rules}]`)));
  for (const column of columns) {
    const judged = one.by.get(column);
    if (!judged) { row.append(element("td")); continue; }
    const button = element("button", { type: "button", title: judged.verdict, click: () => detail(column, judged) }, VERDICTS[judged.verdict]);
    row.append(element("td", { class: `cell ${judged.verdict}` }, button));
  }
  if (!sections.has(one.subject)) sections.set(one.subject, []);
  sections.get(one.subject).push({ row, text: `${name} ${one.about} ${rules}`.toLowerCase(), verdicts: [...one.by.values()].map((judged) => judged.verdict) });
}
const headings = [];
for (const [subject, rows] of sections) {
  const heading = element("h2", {}, subject);
  const body = table(["scenario", ...columns.map((name) => name.replace(/^cyrus-/, ""))], rows.map((one) => one.row));
  headings.push({ heading, body, rows });
  list.append(heading, body);
}

function filter() {
  const wanted = words.value.toLowerCase();
  const shown = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
  for (const { heading, body, rows } of headings) {
    let any = false;
    for (const one of rows) {
      const fits = one.text.includes(wanted) && one.verdicts.some((verdict) => shown.has(verdict));
      one.row.hidden = !fits;
      any ||= fits;
    }
    heading.hidden = body.hidden = !any;
  }
}
words.addEventListener("input", filter);
for (const box of boxes) box.addEventListener("change", filter);
