// Times and states in words. What a status is, its sign says too, so that nobody needs to see colours.

export const STATUSES = ["running", "paused", "created", "stopped", "none", "unknown", "gone"];

const SIGNS = { running: "●", paused: "‖", created: "○", stopped: "■", none: "□", unknown: "?", gone: "×" };

export const sign = (status) => SIGNS[status] ?? "?";

// An image as people write it: Docker's own registry is left out.
export const imageText = (row) => (row.image ?? "").replace(/^docker\.io\/(library\/)?/, "");

export const title = (row) => row.name || row.id;

export function statusText(row) {
  if (row.status !== "stopped" && !(row.status === "none" && row.exited)) return row.status;
  if (row.exit_status === undefined || row.exit_status === null) return `${row.status} (?)`;
  return `${row.status} (${row.exit_status})`;
}

export function isBad(row) {
  return row.exited === true && row.status !== "running" && row.exit_status !== 0;
}

export function since(row) {
  if (row.status === "running") return row.started;
  if (row.status === "paused") return row.paused_at ?? row.started;
  if (row.status === "stopped") return row.exited_at ?? row.updated;
  if (row.status === "none" || row.status === "created") return row.exited_at ?? row.created ?? row.updated;
  return row.updated;
}

export function span(milliseconds) {
  const s = Math.max(0, Math.floor(milliseconds / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 48 * 3600) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} d`;
}

const two = (number) => String(number).padStart(2, "0");

export function clock(milliseconds, now = Date.now()) {
  const moment = new Date(milliseconds);
  const time = `${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
  if (moment.toDateString() === new Date(now).toDateString()) return time;
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())} ${time}`;
}

// What an <input type="datetime-local"> holds: local time, without a zone.
export function localField(milliseconds) {
  const moment = new Date(milliseconds);
  return `${moment.getFullYear()}-${two(moment.getMonth() + 1)}-${two(moment.getDate())}T${two(moment.getHours())}:${two(moment.getMinutes())}:${two(moment.getSeconds())}`;
}
