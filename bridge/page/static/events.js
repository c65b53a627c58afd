// Events as they come, the newest first; so many as one can read, and no more.

import { byId, el, setAttribute, setText } from "./dom.js";
import { clock } from "./format.js";
import { now, store } from "./store.js";

const SHOWN = 150;

export function startEvents(open) {
  byId("events-list").addEventListener("click", (event) => {
    const key = event.target.closest("button")?.dataset.key;
    if (key) open(key);
  });
  byId("events-switch").addEventListener("click", toggleEvents);
  if (matchMedia("(max-width: 760px), (max-height: 560px)").matches) toggleEvents();
}

export function toggleEvents() {
  const panel = byId("events");
  panel.hidden = !panel.hidden;
  setAttribute(byId("events-switch"), "aria-expanded", String(!panel.hidden));
  if (!panel.hidden) drawEvents({ all: true, events: [], unshown: 0 });
}

export function drawEvents(news) {
  if (byId("events").hidden) return;
  const list = byId("events-list");
  const fresh = (news.all ? store.events : news.events).slice(-SHOWN);
  const lines = fresh.map(line).reverse();
  if (news.all) list.replaceChildren(...lines);
  else list.prepend(...lines);
  while (list.children.length > SHOWN) list.lastChild.remove();
  if (news.unshown) setText(byId("events-note"), `${news.unshown} more came in that moment; each is in its container's timeline`);
  else if (fresh.length) setText(byId("events-note"), "");
}

export function eventWords(event) {
  const words = [el("span", { class: "word", "data-tone": event.tone || null }, event.word)];
  if (event.text) words.push(el("span", { class: "text" }, event.text));
  if (event.origin === "reconciled") words.push(el("span", { class: "origin" }, "found afterwards"));
  return words;
}

function line(event) {
  const whose = event.key
    ? el("button", { type: "button", class: "link", "data-key": event.key }, event.name || event.id)
    : el("span", { class: "whose" }, event.node);
  return el("li", {}, el("span", { class: "when" }, clock(event.at, now())), whose, ...eventWords(event));
}
