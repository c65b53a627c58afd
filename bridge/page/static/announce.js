// What a screen reader is told by itself: one sentence every few seconds at the most, the last one counts.

import { byId } from "./dom.js";

const EVERY_MS = 3000;
let next = null;
let last = 0;

export function announce(sentence, { urgent = false } = {}) {
  next = sentence;
  const wait = urgent ? 0 : Math.max(0, last + EVERY_MS - Date.now());
  setTimeout(say, wait);
}

function say() {
  if (next === null) return;
  byId("live").textContent = next;
  next = null;
  last = Date.now();
}
