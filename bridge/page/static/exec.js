// A command line in the container that is open: its output as it comes, its end, and its end before that.

import { ask, lines, newId } from "./api.js";
import { announce } from "./announce.js";
import { byId, el } from "./dom.js";

const PIECES = 2000; // what one can scroll through; what came before it goes
const CHARACTERS = 512 * 1024;

export class Exec {
  constructor(keyOf) {
    this.keyOf = keyOf;
    this.running = null;
    byId("exec-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.run(byId("exec-command").value);
    });
    byId("exec-cancel").addEventListener("click", () => this.cancel());
  }

  // Another container is looked at: what runs is ended, what was written goes.
  clear() {
    this.running?.abort.abort();
    this.running = null;
    byId("exec-output").replaceChildren();
    byId("exec-output").hidden = true;
    byId("exec-said").textContent = "";
    this.buttons(false);
  }

  async run(command) {
    const { key, incarnation } = this.keyOf();
    if (key === null || this.running || !command.trim()) return;
    const mine = (this.running = { id: newId(), abort: new AbortController(), asked: false, length: 0 });
    const output = byId("exec-output");
    output.replaceChildren();
    output.hidden = false;
    this.buttons(true);
    this.say("starting…");
    try {
      const body = { id: mine.id, command, incarnation };
      await lines(`containers/${key}/exec`, body, mine.abort.signal, (line) => this.take(mine, line));
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message, true);
    }
    if (this.running !== mine) return;
    this.running = null;
    this.buttons(false);
  }

  take(mine, line) {
    if (this.running !== mine) return;
    if ("started" in line) this.say(`runs as process ${line.pid}`);
    else if ("stream" in line) this.write(mine, line);
    else if ("ended" in line) {
      const how = line.ended === null ? "ended, and nobody knows how" : `exit status ${line.ended}`;
      this.say(how, line.ended !== 0);
      announce(`The command has ended: ${how}`);
    } else if ("error" in line) this.say(line.code ? `${line.error} (${line.code})` : line.error, true);
  }

  write(mine, { stream, text, missing }) {
    const output = byId("exec-output");
    const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 4;
    if (missing) output.append(el("span", { class: "note" }, `… ${missing} bytes are gone …\n`));
    const marked = stream === "stderr" ? el("span", { class: "hidden" }, "stderr: ") : null;
    output.append(el("span", { class: stream, "data-stream": stream }, marked, text));
    mine.length += text.length;
    while (output.children.length > PIECES || (mine.length > CHARACTERS && output.children.length > 1)) {
      mine.length -= output.firstChild.textContent.length;
      output.firstChild.remove();
    }
    if (atEnd) output.scrollTop = output.scrollHeight;
  }

  async cancel() {
    const mine = this.running;
    if (!mine) return;
    const force = mine.asked;
    mine.asked = true;
    byId("exec-cancel").textContent = "Kill";
    this.say(force ? "SIGKILL sent" : "SIGTERM sent; once more kills it");
    try {
      await ask(`executions/${mine.id}?force=${force}`, { method: "DELETE" });
    } catch (error) {
      if (this.running === mine) this.say(error.message, true);
    }
  }

  say(sentence, bad = false) {
    byId("exec-said").className = bad ? "note bad" : "note";
    byId("exec-said").textContent = sentence;
  }

  buttons(running) {
    byId("exec-cancel").hidden = !running;
    byId("exec-cancel").textContent = "Cancel";
    byId("exec-run").hidden = running;
    byId("exec-command").readOnly = running;
  }
}
