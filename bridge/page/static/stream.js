// The stream of what happens: a snapshot, then changes. A connection that breaks is opened again, and what was missed comes first.

const AGAIN_MS = 2000;

export function follow({ snapshot, change, state, denied }) {
  let source = null;

  function open() {
    source = new EventSource("/api/stream");
    source.addEventListener("snapshot", (event) => {
      state("live");
      snapshot(JSON.parse(event.data));
    });
    source.addEventListener("change", (event) => {
      state("live");
      change(JSON.parse(event.data));
    });
    source.addEventListener("reload", () => {
      source.close(); // we were too slow: everything anew
      open();
    });
    source.addEventListener("open", () => state("live"));
    source.addEventListener("error", async () => {
      state("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
      const answer = await fetch("/api/about", { credentials: "same-origin" }).catch(() => null);
      if (answer?.status === 401) denied();
      else setTimeout(open, AGAIN_MS);
    });
  }

  open();
}
