// What can be done with a container, asked of its node when somebody wants to know; a dialog that names what would happen to what;
// and what came of it.

import { newId, post } from "./api.js";
import { announce } from "./announce.js";
import { byId, el } from "./dom.js";
import { title } from "./format.js";
import { store } from "./store.js";

const WORDS = {
  pause: ["Pause", "freezes its processes"],
  resume: ["Resume", "lets its processes run on"],
  start: ["Start", "runs it"],
  stop: ["Stop", "asks it to end, and kills it when the time is over"],
  restart: ["Restart", "ends it and runs it again"],
  kill: ["Kill", "sends it a signal"],
  delete: ["Delete", "removes the container for good"],
  exec: ["Run a command in it", "another process beside its own"],
};
const SIGNALS = ["SIGTERM", "SIGKILL", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"];
const ALIVE = ["running", "paused", "created"];

const where = (row) => `${title(row)} in ${row.namespace} on node ${row.node}`;

export async function openMenu(key, toExec) {
  const row = store.rows.get(key);
  if (!row) return;
  const dialog = byId("menu");
  const list = el("ul", { class: "choices" }, el("li", { class: "note" }, `Asking node ${row.node}…`));
  dialog.replaceChildren(
    el("h2", { id: "menu-title" }, `Actions: ${where(row)}`),
    list,
    el("form", { method: "dialog" }, el("button", {}, "Close")),
  );
  dialog.showModal();
  let choices;
  try {
    ({ choices } = await post(`containers/${key}/actions`));
  } catch (error) {
    list.replaceChildren(el("li", { class: "bad", role: "alert" }, error.message));
    return;
  }
  list.replaceChildren(...choices.map((choice) => item(choice, row, dialog, toExec)));
  list.querySelector("button:not([aria-disabled])")?.focus();
}

function item(choice, row, dialog, toExec) {
  const [word, note] = WORDS[choice.verb];
  const id = `choice-${choice.verb}`;
  const pick = () => {
    if (!choice.allowed) return;
    dialog.close();
    if (choice.verb === "exec") toExec();
    else confirm(choice.verb, row);
  };
  const button = el("button", { type: "button", "data-verb": choice.verb, "aria-disabled": choice.allowed ? null : "true", "aria-describedby": id, on: { click: pick } }, word);
  return el("li", {}, button, el("span", { id, class: choice.allowed ? "note" : "refusal" }, choice.allowed ? note : choice.reason));
}

function confirm(verb, row) {
  const [word, note] = WORDS[verb];
  const dialog = byId("confirm");
  const options = el("div", { class: "options" });
  const read = optionsOf(verb, row, options);
  const said = el("p", { id: "confirm-said", role: "status" });
  const go = el("button", { type: "submit", class: verb === "delete" || verb === "kill" ? "danger" : "primary", id: "confirm-go" }, word);
  const leave = el("button", { type: "button", id: "confirm-leave", on: { click: () => dialog.close() } }, "Cancel");
  const id = newId(); // one dialog is one command, however often its button is pressed
  const form = el("form", {}, el("h2", { id: "confirm-title" }, `${word} ${title(row)}?`),
    el("p", {}, `This ${note}: container `, el("strong", {}, title(row)), ` (${row.id}) in namespace ${row.namespace} on node `, el("strong", {}, row.node), "."),
    options, said, el("div", { class: "buttons" }, leave, go));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    said.className = "";
    said.textContent = `${word}: sent to ${row.node}…`;
    const ending = await send(verb, row, { id, incarnation: row.incarnation ?? null, ...read() });
    if (ending.code === "ok") {
      dialog.close();
      announce(`${word}: done, ${where(row)}`, { urgent: true });
      return;
    }
    said.className = "bad";
    said.textContent = `Not done (${ending.code}): ${ending.message}`;
    leave.textContent = "Close";
    leave.focus();
  });
  dialog.replaceChildren(form);
  dialog.showModal();
  leave.focus();
}

async function send(verb, row, body) {
  try {
    return await post(`containers/${row.key}/actions/${verb}`, body);
  } catch (error) {
    return { code: "error", message: error.message };
  }
}

// The options of a verb as fields, and what reads them.
function optionsOf(verb, row, into) {
  if (verb === "stop" || verb === "restart") {
    const grace = el("input", { id: "confirm-grace", type: "number", min: 0, max: 600, value: 10, required: true });
    into.append(el("label", { for: "confirm-grace" }, "Seconds until it is killed"), grace);
    return () => ({ grace: Number(grace.value) });
  }
  if (verb === "kill") {
    const signal = el("select", { id: "confirm-signal" }, ...SIGNALS.map((name) => el("option", { value: name }, name)));
    into.append(el("label", { for: "confirm-signal" }, "Signal"), signal);
    return () => ({ signal: signal.value });
  }
  if (verb === "delete" && ALIVE.includes(row.status)) {
    into.append(el("p", { class: "bad" }, `It is ${row.status}: its processes are killed.`));
    return () => ({ force: true });
  }
  return () => ({});
}
