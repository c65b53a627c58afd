// One container: what it is, or was at the point of its timeline; its events; a command line in it.

import { ask } from "./api.js";
import { byId, el, setAttribute, setText } from "./dom.js";
import { clock, isBad, sign, since, span, statusText, title } from "./format.js";
import { now, store } from "./store.js";
import { Timeline } from "./timeline.js";

const REFRESH_MS = 400;

export class Details {
  constructor({ opened, act, executed }) {
    this.key = null;
    this.opened = opened;
    this.executed = executed;
    this.timeline = new Timeline((step) => this.scrubbed(step));
    this.reading = null;
    byId("details-close").addEventListener("click", () => this.close());
    byId("act").addEventListener("click", () => act(this.key));
  }

  get row() {
    return store.rows.get(this.key);
  }

  open(key, known) {
    if (!store.rows.has(key) && !known) return;
    this.last = known ?? store.rows.get(key);
    if (this.key === key) return;
    this.key = key;
    this.waiting = clearTimeout(this.waiting);
    byId("details").hidden = false;
    document.body.classList.add("with-details");
    this.timeline.clear();
    this.executed();
    this.opened(key);
    this.draw();
    this.load();
  }

  close() {
    if (this.key === null) return;
    this.key = null;
    this.reading?.abort();
    byId("details").hidden = true;
    document.body.classList.remove("with-details");
    this.opened(null);
    byId("grid").focus();
  }

  // What has changed may be about it.
  changed(news) {
    if (this.key === null || !news.keys.has(this.key)) return;
    if (!this.timeline.isPast) this.draw();
    this.waiting ??= setTimeout(() => this.load(), REFRESH_MS);
  }

  async load() {
    this.waiting = clearTimeout(this.waiting);
    const key = this.key;
    if (key === null) return;
    try {
      const history = await ask(`containers/${key}/history`);
      if (key === this.key) this.timeline.show(history);
    } catch (error) {
      if (key === this.key) this.said(error.message);
    }
  }

  // -- the state

  async scrubbed(step) {
    this.reading?.abort();
    if (step === null) {
      this.draw();
      return;
    }
    setAttribute(byId("details"), "data-past", "");
    byId("exec").hidden = true;
    if (step === "before") {
      this.facts(null);
      return;
    }
    const reading = (this.reading = new AbortController());
    try {
      const { row } = await ask(`containers/${this.key}/state?at=${step.event.n}`, { signal: reading.signal });
      if (!reading.signal.aborted) this.facts(row, step.event.at);
    } catch (error) {
      if (error.name !== "AbortError") this.said(error.message);
    }
  }

  draw() {
    const row = this.row ?? this.last;
    if (!row) return;
    this.last = row;
    setAttribute(byId("details"), "data-past", null);
    byId("exec").hidden = false;
    byId("exec-run").disabled = row.status !== "running";
    byId("act").disabled = row.status === "gone";
    setText(byId("details-name"), title(row));
    this.facts(row, now());
  }

  said(sentence) {
    byId("state").replaceChildren(el("div", {}, el("dt", {}, "Not known"), el("dd", { class: "bad" }, sentence)));
  }

  // Its age goes on by itself.
  tick() {
    if (this.key !== null && !this.timeline.isPast && this.last) this.headline(this.last, now());
  }

  headline(row, at) {
    const line = byId("details-status");
    const from = since(row);
    setAttribute(line, "data-status", row.status);
    setAttribute(line, "data-bad", isBad(row) ? "" : null);
    line.replaceChildren(
      el("span", { class: "sign", "aria-hidden": "true" }, sign(row.status)),
      el("strong", { id: "details-word" }, statusText(row)),
      from ? ` since ${clock(from, now())} (${span(at - from)})` : "",
    );
  }

  facts(row, at) {
    if (!row) {
      byId("details-status").replaceChildren("It was not there then.");
      byId("state").replaceChildren();
      return;
    }
    this.headline(row, at);
    const facts = [
      ["Id", row.id],
      ["Node", `${row.node} / ${row.namespace}`],
      ["Image", row.image],
      ["Process", row.pid || null],
      ["Ended", row.exited ? `${row.exit_status ?? "nobody knows how"}${row.exited_at ? `, ${clock(row.exited_at, now())}` : ""}` : null],
      ["Out of memory", row.ooms ? `${row.ooms} times` : null],
      ["Incarnation", row.incarnation ? `${row.incarnation}, ${row.incarnations} seen` : null],
      ["Restored from", row.restored_from],
      ["Other processes", row.execs || null],
      ["Contradictions", row.anomalies || null],
      ["Created", row.created ? clock(row.created, now()) : null],
    ].filter(([, value]) => value);
    const pairs = facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))));
    const labels = Object.entries(row.labels ?? {});
    if (labels.length) {
      const list = labels.map(([key, value]) => el("li", {}, `${key}=${value}`));
      pairs.push(el("div", {}, el("dt", {}, "Labels"), el("dd", {}, el("ul", { class: "labels" }, ...list))));
    }
    byId("state").replaceChildren(...pairs);
  }
}
