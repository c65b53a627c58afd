// Sends a command as a durable job, which waits for its node if that is away, and waits for its outcome:
//
//     node job.mjs nats://127.0.0.1:4222 ID NODE NAMESPACE CONTAINER VERB ['{"options": "as JSON"}']
//
// Started again with the same ID it does nothing a second time, and prints the outcome of the first.
import { createHash } from "node:crypto";
import { headers } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { bus, place } from "./bus.mjs";

const [url, id, node, namespace, container, verb, options] = process.argv.slice(2);
const nc = await bus(url);
const subject = `containerd.jobs.${place(node, namespace, container)}.${verb}`;
const body = JSON.stringify({ ...JSON.parse(options ?? "{}"), id });
const told = headers();
told.set("Bridge-Id", id);
told.set("Nats-Msg-Id", `${node}.${id}.${createHash("sha256").update(subject + body).digest("hex")}`);
await jetstream(nc).publish(subject, body, { headers: told }); // resolves when it is stored

const commands = await new Kvm(nc).open("containerd-commands");
for await (const entry of await commands.watch({ key: place(node, namespace, container, id) })) {
  const { stage, outcome } = entry.json();
  console.log(stage);
  if (stage !== "finished") continue;
  console.log(outcome.outcome, JSON.stringify(outcome.result ?? outcome.error));
  process.exitCode = outcome.outcome === "ok" ? 0 : 1;
  break;
}
await nc.close();
