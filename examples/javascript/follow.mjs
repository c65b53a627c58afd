// Prints what happens to containers, from a sequence of the log on or as it happens, for ever:
//
//     node follow.mjs nats://127.0.0.1:4222 [FROM]
//
// The ordered consumer of the official client keeps the order, and begins again where it was after a reconnect. Every message is
// a CloudEvent, so the official SDK reads it.
import { HTTP } from "cloudevents";
import { jetstream } from "@nats-io/jetstream";
import { bus } from "./bus.mjs";

const [url, from] = process.argv.slice(2);
const nc = await bus(url);
const start = from === undefined ? { deliver_policy: "new" } : { deliver_policy: "by_start_sequence", opt_start_seq: +from };
const consumer = await jetstream(nc).consumers.get("CONTAINERD_EVENTS", start);
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => nc.close());

for await (const message of await consumer.consume()) {
  const headers = { "content-type": message.headers.get("Content-Type") };
  const event = HTTP.toEvent({ headers, body: message.string() });
  event.validate();
  const { exit_status: status } = event.data;
  const what = event.type.replace(/^io\.containerd\.(.*)\.v\d+$/, "$1");
  console.log(event.time, event.source, event.subject ?? "-", what, status === undefined ? "" : `status ${status}`);
}
