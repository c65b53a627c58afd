// The table of containers. Only the rows that can be seen are in the document, however many there are; each keeps its element while
// it can be seen. The grid itself has the focus, and names the chosen row (aria-activedescendant): updates and sorting never move it.

import { byId, el, setAttribute, setText } from "./dom.js";
import { imageText, isBad, sign, since, span, statusText, title } from "./format.js";

const OVERSCAN = 6;

const by = (read) => (a, b) => {
  const [one, other] = [read(a), read(b)];
  return one < other ? -1 : one > other ? 1 : 0;
};

const COLUMNS = [
  { id: "status", label: "Status", compare: by((row) => statusText(row)), text: (row) => statusText(row) },
  { id: "name", label: "Name", compare: by((row) => title(row).toLowerCase()), text: title },
  { id: "image", label: "Image", compare: by(imageText), text: imageText },
  { id: "node", label: "Node", compare: by((row) => row.node), text: (row) => row.node },
  { id: "namespace", label: "Namespace", compare: by((row) => row.namespace), text: (row) => row.namespace },
  {
    id: "since",
    label: "Since",
    compare: by((row) => -(since(row) ?? 0)),
    text: (row, now) => (since(row) ? span(now - since(row)) : ""),
  },
];

export class Table {
  constructor({ choose, open, now, doubtful }) {
    this.grid = byId("grid");
    this.body = byId("rows");
    this.open = open;
    this.choose = choose;
    this.now = now;
    this.doubtful = doubtful;
    this.shown = []; // the rows of the table, sorted
    this.index = new Map(); // key -> place in it
    this.elements = new Map(); // key -> element, of those in the document
    this.chosen = null;
    this.opened = null;
    this.sort = { column: "name", up: true };
    this.numbers = 0;
    this.head();
    setAttribute(this.grid, "aria-colcount", COLUMNS.length);
    this.grid.addEventListener("scroll", () => this.draw(), { passive: true });
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("focus", () => {
      // Who clicks chooses by that, and nothing may move under the mouse meanwhile.
      if (this.chosen === null && this.grid.matches(":focus-visible")) this.move(Math.ceil(this.grid.scrollTop / this.height()));
    });
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("[data-key]");
      if (!row) return;
      this.pick(row.dataset.key);
      this.open(row.dataset.key);
    });
    new ResizeObserver(() => this.draw()).observe(this.grid);
  }

  head() {
    byId("head").replaceChildren(
      ...COLUMNS.map((column, place) => {
        const button = el("button", { type: "button", on: { click: () => this.sortBy(column.id) } }, column.label);
        return el("div", { role: "columnheader", class: `cell ${column.id}`, "aria-colindex": place + 1 }, button);
      }),
    );
    this.tellSort();
  }

  sortBy(id) {
    this.sort = { column: id, up: this.sort.column === id ? !this.sort.up : true };
    this.tellSort();
    this.show(this.shown);
  }

  tellSort() {
    COLUMNS.forEach((column, place) => {
      const mine = this.sort.column === column.id;
      setAttribute(byId("head").children[place], "aria-sort", mine ? (this.sort.up ? "ascending" : "descending") : null);
    });
  }

  // Show these rows, in the order that was chosen.
  show(rows) {
    const { compare } = COLUMNS.find((column) => column.id === this.sort.column);
    const direction = this.sort.up ? 1 : -1;
    const tie = by((row) => row.key);
    this.shown = [...rows].sort((a, b) => direction * compare(a, b) || tie(a, b));
    this.index = new Map(this.shown.map((row, place) => [row.key, place]));
    setAttribute(this.grid, "aria-rowcount", this.shown.length + 1);
    this.draw();
  }

  height() {
    this.rowHeight ??= parseFloat(getComputedStyle(this.grid).getPropertyValue("--row")) || 30;
    return this.rowHeight;
  }

  draw() {
    const height = this.height();
    this.body.style.height = `${this.shown.length * height}px`;
    const first = Math.max(0, Math.floor(this.grid.scrollTop / height) - OVERSCAN);
    const count = Math.ceil(this.grid.clientHeight / height) + 2 * OVERSCAN;
    const wanted = this.shown.slice(first, first + count);
    const chosen = this.chosen === null ? undefined : this.shown[this.index.get(this.chosen)];
    if (chosen && !wanted.includes(chosen)) wanted.push(chosen); // what has the focus is always there
    const keep = new Set(wanted.map((row) => row.key));
    for (const [key, element] of this.elements) {
      if (keep.has(key)) continue;
      element.remove();
      this.elements.delete(key);
    }
    const now = this.now();
    for (const row of wanted) this.place(row, now);
    this.tellChosen();
  }

  place(row, now) {
    let element = this.elements.get(row.key);
    if (!element) {
      element = this.made(row.key);
      this.elements.set(row.key, element);
      this.body.append(element);
    }
    const place = this.index.get(row.key);
    const top = `translateY(${place * this.height()}px)`;
    if (element.style.transform !== top) element.style.transform = top;
    setAttribute(element, "aria-rowindex", place + 2);
    setAttribute(element, "data-status", row.status);
    setAttribute(element, "data-bad", isBad(row) ? "" : null);
    setAttribute(element, "data-doubtful", this.doubtful(row) ? "" : null);
    COLUMNS.forEach((column, at) => {
      const cell = element.children[at];
      const text = column.text(row, now);
      if (column.id === "status") {
        setText(cell.firstChild, sign(row.status));
        setText(cell.lastChild, text);
      } else {
        setText(cell, text);
        if (column.id === "name" || column.id === "image") setAttribute(cell, "title", text);
      }
    });
  }

  made(key) {
    this.numbers += 1;
    const cells = COLUMNS.map((column, place) => {
      const cell = el("div", { role: "gridcell", class: `cell ${column.id}`, "aria-colindex": place + 1 });
      if (column.id === "status") cell.append(el("span", { class: "sign", "aria-hidden": "true" }), el("span"));
      return cell;
    });
    return el("div", { role: "row", class: "row", id: `row-${this.numbers}`, "data-key": key }, ...cells);
  }

  tellChosen() {
    for (const [key, element] of this.elements) {
      setAttribute(element, "data-chosen", key === this.chosen ? "" : null);
      setAttribute(element, "aria-selected", key === this.opened ? "true" : "false");
    }
    setAttribute(this.grid, "aria-activedescendant", this.elements.get(this.chosen)?.id);
  }

  pick(key) {
    this.chosen = key;
    this.draw();
    this.choose(key);
  }

  mark(key) {
    this.opened = key;
    this.tellChosen();
  }

  move(to) {
    if (!this.shown.length) return;
    const place = Math.min(this.shown.length - 1, Math.max(0, to));
    const height = this.height();
    const top = place * height;
    const room = this.grid.clientHeight - 2 * height;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top > this.grid.scrollTop + room) this.grid.scrollTop = top - room;
    this.pick(this.shown[place].key);
  }

  key(event) {
    if (event.target !== this.grid || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.index.get(this.chosen) ?? -1;
    const page = Math.max(1, Math.floor(this.grid.clientHeight / this.height()) - 2);
    const moves = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity };
    if (event.key in moves) this.move(moves[event.key]);
    else if (event.key === "Enter" && this.chosen) this.open(this.chosen);
    else return;
    event.preventDefault();
  }
}
