// What ran at a time, on every node: the whole table as the log tells it for then.

import { ask } from "./api.js";
import { byId, setAttribute, setText } from "./dom.js";
import { clock, localField } from "./format.js";
import { now } from "./store.js";

const STEPS = 1000;
const SETTLE_MS = 200;

export class Past {
  constructor(changed) {
    this.changed = changed;
    this.at = null; // milliseconds, null for now
    this.rows = [];
    this.first = null;
    this.reading = null;
    byId("past-open").addEventListener("click", () => this.toggle());
    byId("past-close").addEventListener("click", () => this.close());
    byId("past-slider").addEventListener("input", () => this.slide());
    byId("past-time").addEventListener("change", () => this.type());
  }

  get isOpen() {
    return !byId("past").hidden;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  async open() {
    byId("past").hidden = false;
    setAttribute(byId("past-open"), "aria-expanded", "true");
    this.draw();
    byId("past-slider").focus();
    try {
      this.first = (await ask("extent")).first;
    } catch (error) {
      setText(byId("past-said"), error.message);
    }
    this.draw();
  }

  close() {
    if (!this.isOpen) return;
    byId("past").hidden = true;
    setAttribute(byId("past-open"), "aria-expanded", "false");
    this.to(null);
    byId("past-open").focus();
  }

  slide() {
    const value = Number(byId("past-slider").value);
    const first = this.first ?? now() - 60_000;
    this.to(value >= STEPS ? null : first + ((now() - first) * value) / STEPS);
  }

  type() {
    const time = new Date(byId("past-time").value).getTime();
    if (Number.isNaN(time)) return;
    this.to(time >= now() ? null : time);
  }

  to(at) {
    this.reading?.abort();
    clearTimeout(this.settling);
    this.at = at;
    this.draw();
    if (at === null) {
      this.rows = [];
      this.changed();
      return;
    }
    this.settling = setTimeout(() => this.read(at), SETTLE_MS);
  }

  async read(at) {
    const reading = (this.reading = new AbortController());
    setText(byId("past-said"), `${clock(at, now())}: reading the log…`);
    try {
      const { rows } = await ask(`states?at=${encodeURIComponent(new Date(at).toISOString())}`, { signal: reading.signal });
      if (reading.signal.aborted) return;
      this.rows = rows;
      setText(byId("past-said"), `${clock(at, now())}: ${rows.filter((row) => row.status === "running").length} ran`);
      this.changed();
    } catch (error) {
      if (error.name !== "AbortError") setText(byId("past-said"), error.message);
    }
  }

  draw() {
    const first = this.first ?? now() - 60_000;
    const value = this.at === null ? STEPS : Math.round(((this.at - first) / (now() - first)) * STEPS);
    byId("past-slider").value = String(value);
    byId("past-time").value = localField(this.at ?? now());
    const said = this.at === null ? "now" : clock(this.at, now());
    setText(byId("past-said"), said);
    setAttribute(byId("past-slider"), "aria-valuetext", said);
    document.body.classList.toggle("in-the-past", this.at !== null);
  }
}
