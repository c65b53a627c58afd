// A container's life to scrub through: when it was what, by incarnation, with the gaps of its node; and the point that is looked at.

import { byId, el, setAttribute, setText } from "./dom.js";
import { eventWords } from "./events.js";
import { clock } from "./format.js";
import { now } from "./store.js";

const LISTED = 300;
const NARROWEST = 0.15; // per cent: what is too short to be seen is seen all the same

export class Timeline {
  // `changed` is told the step that is looked at, null for now, and "before" where the container was not there yet.
  constructor(changed) {
    this.changed = changed;
    this.steps = [];
    this.at = null;
    const scrub = byId("scrub");
    scrub.addEventListener("input", () => this.slide(Number(scrub.value)));
    scrub.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
      if (!(event.key in moves)) return;
      event.preventDefault();
      this.step(moves[event.key]);
    });
    byId("scrub-back").addEventListener("click", () => this.step(-1));
    byId("scrub-on").addEventListener("click", () => this.step(1));
    byId("scrub-now").addEventListener("click", () => {
      this.toNow();
      scrub.focus();
    });
    byId("steps").addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) this.to(Number(button.dataset.step));
    });
  }

  get isPast() {
    return this.at !== null;
  }

  clear() {
    this.at = null;
    this.show({ steps: [], earlier: 0 });
  }

  show(history) {
    const last = this.steps.at(this.place())?.event.n;
    this.steps = history.steps;
    if (this.at !== null && last !== undefined) {
      const again = this.steps.findIndex((step) => step.event.n === last); // the same event, wherever it is now
      this.at = again < 0 ? this.at : { ...this.at, step: again };
    }
    this.drawTrack();
    this.drawSteps(history.earlier);
    this.drawPoint();
  }

  // -- moving

  place() {
    return this.at === null ? this.steps.length - 1 : this.at.step;
  }

  step(by) {
    const to = this.place() + by;
    if (to >= this.steps.length) this.toNow();
    else this.to(Math.max(0, to));
  }

  to(step) {
    if (!this.steps[step]) return;
    this.at = { step, time: this.steps[step].event.at };
    this.moved();
  }

  slide(time) {
    if (time >= Number(byId("scrub").max)) {
      this.toNow();
      return;
    }
    let step = this.steps.length - 1;
    while (step >= 0 && this.steps[step].event.at > time) step -= 1;
    this.at = { step, time };
    this.moved();
  }

  toNow() {
    this.at = null;
    this.moved();
  }

  moved() {
    this.drawPoint();
    this.changed(this.at === null ? null : this.steps[this.at.step] ?? "before");
  }

  // -- drawing

  bounds() {
    const first = this.steps[0]?.event.at ?? now() - 1000;
    const end = Math.max(now(), (this.steps.at(-1)?.event.at ?? 0) + 1);
    return [first, Math.max(end, first + 1000)];
  }

  drawTrack() {
    const [first, end] = this.bounds();
    const percent = (time) => ((time - first) / (end - first)) * 100;
    const bar = (from, to, kind, attributes = {}) => {
      const made = el("span", { class: kind, ...attributes });
      made.style.left = `${percent(from)}%`;
      made.style.width = `${Math.max(NARROWEST, percent(to) - percent(from))}%`;
      return made;
    };
    const parts = [];
    let open = null;
    const close = (until) => open && parts.push(bar(open.from, until, "segment", { "data-status": open.status, "data-odd": open.odd ? "" : null }));
    let incarnation = null;
    let odd = true;
    for (const { event, status, gap } of this.steps) {
      if (gap) {
        parts.push(bar(Math.max(first, gap.since ?? first), Math.max(first, gap.until), "gap"));
        continue;
      }
      if (event.incarnation && event.incarnation !== incarnation) {
        incarnation = event.incarnation;
        odd = !odd;
      }
      if (!open || open.status !== status || open.odd !== odd) {
        close(event.at);
        open = { from: event.at, status, odd };
      }
    }
    close(end);
    const marks = this.steps.filter((step) => step.event.tone === "bad" || step.event.tone === "warning");
    for (const { event } of marks.slice(-LISTED)) parts.push(bar(event.at, event.at, "mark", { "data-tone": event.tone }));
    byId("track").replaceChildren(...parts, el("span", { class: "point", id: "track-point" }));
  }

  drawSteps(earlier) {
    const from = Math.max(0, this.steps.length - LISTED);
    const hidden = earlier + from;
    byId("steps-note").hidden = hidden === 0;
    setText(byId("steps-note"), hidden ? `${hidden} earlier events are not listed` : "");
    const items = this.steps.slice(from).map((step, at) => {
      const gap = step.gap ? " (events may be missing)" : "";
      const button = el("button", { type: "button", class: "step", "data-step": from + at },
        el("span", { class: "when" }, clock(step.event.at, now())), ...eventWords(step.event), gap || null);
      return el("li", { class: step.gap ? "gapped" : null }, button);
    });
    byId("steps").replaceChildren(...items.reverse());
  }

  drawPoint() {
    const [first, end] = this.bounds();
    const time = this.at === null ? end : this.at.time;
    const scrub = byId("scrub");
    scrub.min = String(first);
    scrub.max = String(end);
    scrub.value = String(time);
    scrub.disabled = this.steps.length === 0;
    const step = this.at === null ? null : this.steps[this.at.step];
    const status = this.at === null ? "" : step ? `, ${step.status ?? "gap"}` : ", not there";
    const said = this.at === null ? "now" : `${clock(time, now())}${status}`;
    setText(byId("scrub-said"), said);
    setAttribute(scrub, "aria-valuetext", said);
    byId("scrub-now").disabled = this.at === null;
    byId("scrub-back").disabled = this.steps.length === 0 || this.at?.step === 0;
    byId("scrub-on").disabled = this.at === null;
    const point = byId("track-point");
    if (point) point.style.left = `${((time - first) / (end - first)) * 100}%`;
    for (const button of byId("steps").querySelectorAll("button")) {
      setAttribute(button, "aria-current", this.at !== null && Number(button.dataset.step) === this.at.step ? "true" : null);
    }
  }
}
