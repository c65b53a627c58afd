// The nodes: whether each bridge is heard, how late it is, and the times of which its log may miss events.

import { byId, el, setAttribute, setText } from "./dom.js";
import { clock, span } from "./format.js";
import { now, store } from "./store.js";

const SIGNS = { live: "●", behind: "◐", silent: "○", disconnected: "○", stopped: "■", unknown: "?" };
const WORDS = {
  live: "live",
  behind: "behind with writing",
  silent: "silent: nothing comes from its bridge",
  disconnected: "its bridge has lost containerd",
  stopped: "its bridge was stopped",
  unknown: "the log has no sign of its bridge",
};
const RECENT_MS = 3600e3;

export function drawNodes() {
  const list = byId("nodes");
  const there = new Map([...list.children].map((item) => [item.dataset.node, item]));
  for (const node of store.nodes) {
    const item = there.get(node.node) ?? made(node.node);
    there.delete(node.node);
    draw(item.firstChild, node);
    list.append(item);
  }
  for (const item of there.values()) item.remove();
}

// Ages go on by themselves.
export function ageNodes() {
  for (const item of byId("nodes").children) {
    const node = store.nodes.find((one) => one.node === item.dataset.node);
    if (node) draw(item.firstChild, node);
  }
}

function made(name) {
  const button = el("button", { type: "button", class: "node", "aria-haspopup": "dialog", on: { click: () => open(name) } },
    el("span", { class: "sign", "aria-hidden": "true" }), el("span"), el("span", { class: "lag" }));
  return el("li", { "data-node": name }, button);
}

function draw(button, node) {
  setAttribute(button, "data-condition", node.condition);
  setText(button.children[0], SIGNS[node.condition] ?? "?");
  setText(button.children[1], node.condition === "live" ? node.node : `${node.node}: ${node.condition}`);
  setText(button.children[2], lag(node) + gapsText(node));
}

function lag(node) {
  if (!node.heard) return "";
  const late = node.late > 1000 ? `, ${span(node.late)} late` : "";
  return `${span(now() - node.heard)}${late}`;
}

function gapsText(node) {
  const recent = (node.gaps ?? []).filter((gap) => gap.since !== null && now() - gap.until < RECENT_MS).length;
  return recent ? ` · ${recent} gap${recent > 1 ? "s" : ""}` : "";
}

function open(name) {
  const node = store.nodes.find((one) => one.node === name);
  if (!node) return;
  const facts = [
    ["Bridge", `${WORDS[node.condition] ?? node.condition}${node.reason ? `, ${node.reason}` : ""}`],
    ["Last event", node.heard ? `${clock(node.heard)}, ${span(now() - node.heard)} ago` : "none"],
    ["Written late by", node.late === undefined ? "not measured yet" : `${node.late} ms`],
    ["Proven until", node.proven ? clock(node.proven) : "never"],
    ["Commands", node.groups?.length ? node.groups.join(", ") : "takes none"],
    ["Versions", [node.version && `containerd-bridge ${node.version}`, node.containerd && `containerd ${node.containerd}`].filter(Boolean).join(", ")],
    ["Runs since", node.since ? clock(node.since) : "not known"],
  ];
  const gaps = [...(node.gaps ?? [])].reverse().map((gap) =>
    el("li", {}, el("span", { class: "when" }, gap.since === null ? `before ${clock(gap.until)}` : `${clock(gap.since)} to ${clock(gap.until)} (${span(gap.until - gap.since)})`), ` ${gap.reason}`));
  const dialog = byId("node");
  dialog.replaceChildren(
    el("h2", { id: "node-title" }, `Node ${node.node}`),
    el("dl", { class: "facts" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    el("h3", {}, "Gaps"),
    gaps.length ? el("ol", { class: "gaps" }, ...gaps) : el("p", { class: "note" }, "None: its bridge followed containerd all the time that the log tells of."),
    el("form", { method: "dialog" }, el("button", {}, "Close")),
  );
  dialog.showModal();
}
