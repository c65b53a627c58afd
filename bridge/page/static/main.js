// The page put together: who is told of what, and which key does what.

import { enter } from "./api.js";
import { openMenu } from "./actions.js";
import { announce } from "./announce.js";
import { Details } from "./details.js";
import { byId, el, setAttribute, setText } from "./dom.js";
import { drawEvents, startEvents, toggleEvents } from "./events.js";
import { Exec } from "./exec.js";
import { matcher } from "./filter.js";
import { STATUSES, sign } from "./format.js";
import { ageNodes, drawNodes } from "./nodes.js";
import { Past } from "./past.js";
import { nodeOf, now, onChange, store, takeChange, takeSnapshot } from "./store.js";
import { follow } from "./stream.js";
import { Table } from "./table.js";
import { startTheme } from "./theme.js";

const hidden = new Set(["gone"]);
let matches = matcher("");

const past = new Past(refresh);
const exec = new Exec(() => ({ key: details.key, incarnation: details.row?.incarnation ?? null }));
const details = new Details({ opened: (key) => table.mark(key), act, executed: () => exec.clear() });
const table = new Table({
  choose: () => {},
  open,
  now: () => past.at ?? now(),
  doubtful: (row) => past.at === null && (nodeOf(row)?.condition ?? "live") !== "live",
});

function known() {
  return past.at === null ? [...store.rows.values()] : past.rows;
}

function refresh() {
  const found = known().filter(matches);
  const shown = found.filter((row) => !hidden.has(row.status));
  table.show(shown);
  drawStatuses(found);
  setText(byId("count"), shown.length === store.rows.size ? `${shown.length} containers` : `${shown.length} of ${known().length}`);
  byId("empty").hidden = shown.length > 0;
  setText(byId("empty"), known().length ? "No container matches." : past.at === null ? "No container is known yet." : "Nothing is known of then.");
}

function drawStatuses(rows) {
  const counts = new Map();
  for (const row of rows) counts.set(row.status, (counts.get(row.status) ?? 0) + 1);
  for (const status of STATUSES) {
    const id = `status-${status}`;
    const count = counts.get(status) ?? 0;
    const button = byId(id) ?? byId("statuses").appendChild(statusButton(id, status));
    setText(button.lastChild, `${status} ${count}`);
    button.hidden = count === 0 && !["running", "stopped"].includes(status);
    setAttribute(button, "aria-pressed", String(!hidden.has(status)));
  }
}

function statusButton(id, status) {
  const toggle = () => {
    if (!hidden.delete(status)) hidden.add(status);
    refresh();
  };
  return el("button", { type: "button", id, "data-status": status, on: { click: toggle } },
    el("span", { class: "sign", "aria-hidden": "true" }, sign(status)), el("span"));
}

function open(key) {
  details.open(key, past.rows.find((row) => row.key === key));
}

function act(key) {
  if (key === null || past.at !== null) return;
  open(key);
  openMenu(key, () => byId("exec-command").focus());
}

// -- what comes

onChange((news) => {
  if (past.at === null) refresh();
  if (news.nodes || news.all) drawNodes();
  drawEvents(news);
  if (news.all) news.keys.add(details.key);
  details.changed(news);
  byId("trouble").hidden = store.trouble === null;
  setText(byId("trouble"), store.trouble ?? "");
  const bad = news.all ? [] : news.events.filter((event) => event.tone === "bad" && event.key);
  if (bad.length > 1) announce(`${bad.length} containers ended badly`);
  else if (bad.length) announce(`${bad[0].name || bad[0].id}: ${bad[0].word}, ${bad[0].text}`);
});

setInterval(() => {
  ageNodes();
  table.draw();
  details.tick();
}, 1000);

// -- keys

const KEYS = {
  "/": () => byId("filter").focus(),
  "?": () => byId("help").showModal(),
  a: () => act(details.key ?? table.chosen),
  t: () => past.toggle(),
  e: toggleEvents,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const typing = event.target.matches("input:not([type=range]), select, textarea");
  if (event.key === "Escape") escape(event, typing);
  else if (!typing && Object.hasOwn(KEYS, event.key.toLowerCase())) {
    event.preventDefault();
    KEYS[event.key.toLowerCase()]();
  }
});

function escape(event, typing) {
  if (typing && event.target.id === "filter" && event.target.value) {
    event.target.value = "";
    filter();
  } else if (typing && event.target.id === "filter") byId("grid").focus();
  else if (details.timeline.isPast) details.timeline.toNow();
  else if (details.key !== null) details.close();
  else past.close();
}

function filter() {
  matches = matcher(byId("filter").value);
  byId("grid").scrollTop = 0;
  refresh();
}

byId("filter").addEventListener("input", filter);
byId("filter").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" && event.key !== "ArrowDown") return;
  event.preventDefault();
  byId("grid").focus();
  if (!table.index.has(table.chosen)) table.move(0);
});
byId("help-open").addEventListener("click", () => byId("help").showModal());

// -- coming in

function start() {
  follow({
    snapshot: takeSnapshot,
    change: takeChange,
    denied: () => byId("enter").showModal(),
    state: (word) => {
      setText(byId("connection"), word);
      setAttribute(byId("connection"), "data-state", word);
    },
  });
}

byId("enter").addEventListener("cancel", (event) => event.preventDefault());
byId("enter-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await enter(byId("enter-token").value.trim());
  } catch (error) {
    setText(byId("enter-said"), error.message);
    return;
  }
  byId("enter-token").value = "";
  byId("enter").close();
  start();
});

startTheme();
startEvents((key) => open(key));
refresh();
try {
  await enter();
} catch (error) {
  setText(byId("enter-said"), error.message);
}
start();
