// What is known at present, and whoever wants to know of it. Changes of one frame are told once.

export const store = {
  rows: new Map(),
  nodes: [],
  events: [],
  offset: 0, // the server's clock minus ours
  trouble: null,
};

const EVENTS = 200;
const listeners = [];
let changed = null;

export const now = () => Date.now() + store.offset;

export function onChange(listener) {
  listeners.push(listener);
}

export function nodeOf(row) {
  return store.nodes.find((node) => node.node === row.node);
}

export function takeSnapshot(message) {
  store.rows = new Map(message.rows.map((row) => [row.key, row]));
  store.events = message.events;
  store.nodes = message.nodes;
  store.trouble = message.trouble;
  clock(message);
  note({ all: true, events: [], keys: new Set(store.rows.keys()), unshown: 0, nodes: true });
}

export function takeChange(message) {
  clock(message);
  const keys = new Set();
  for (const row of message.rows ?? []) {
    store.rows.set(row.key, row);
    keys.add(row.key);
  }
  for (const key of message.gone ?? []) {
    store.rows.delete(key);
    keys.add(key);
  }
  const events = message.events ?? [];
  if (events.length) store.events = [...store.events, ...events].slice(-EVENTS);
  if (message.nodes) store.nodes = message.nodes;
  if ("trouble" in message) store.trouble = message.trouble;
  note({ all: false, events, keys, unshown: message.unshown ?? 0, nodes: Boolean(message.nodes) });
}

function clock(message) {
  store.offset = message.at - Date.now();
}

function note(news) {
  if (changed === null) {
    changed = news;
    // A tab that nobody sees gets no frames, and must not gather changes for ever.
    if (document.hidden) setTimeout(tell, 250);
    else requestAnimationFrame(tell);
    return;
  }
  changed.all ||= news.all;
  changed.nodes ||= news.nodes;
  changed.unshown += news.unshown;
  changed.events = [...changed.events, ...news.events].slice(-EVENTS);
  for (const key of news.keys) changed.keys.add(key);
}

function tell() {
  const news = changed;
  changed = null;
  if (news) for (const listener of listeners) listener(news);
}
