// The page's server: who we are, one question, one stream. Every refusal becomes an Error with the server's own sentence.

export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? body?.message ?? `the page's server answered ${status}`);
    this.status = status;
  }
}

// The token comes in the fragment, which no server sees, is changed for a cookie, and leaves the address at once.
export async function enter(given) {
  const token = given ?? new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  if (location.hash) history.replaceState(null, "", location.pathname);
  await ask("session", { method: "POST", headers: { Authorization: `Bearer ${token}` } });
}

export async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(`/api/${path}`, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the page's server does not answer");
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

export const post = (path, body) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

// Lines of JSON as they come.
export async function lines(path, body, signal, take) {
  const answer = await fetch(`/api/${path}`, {
    method: "POST",
    credentials: "same-origin",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  if (!answer.ok) throw new Refused(answer.status, await answer.json().catch(() => null));
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const part of parts) if (part) take(JSON.parse(part));
  }
}

// A command's id: it takes effect once, however often it is sent. (randomUUID is for secure origins only.)
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
