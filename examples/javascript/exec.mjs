// Runs a process in a container and prints what it writes, while it writes it; ends with its exit status:
//
//     node exec.mjs nats://127.0.0.1:4222 NODE NAMESPACE CONTAINER PROGRAM [ARGUMENT...]
import { jetstream } from "@nats-io/jetstream";
import { bus, place, quoted } from "./bus.mjs";

const [url, node, namespace, container, ...args] = process.argv.slice(2);
const nc = await bus(url);
const where = place(node, namespace, container);
const reply = await nc.request(`containerd.commands.${where}.exec`, JSON.stringify({ args, mode: "detached" }), { timeout: 60_000 });
const { outcome, result, error } = reply.json();
if (outcome !== "ok") throw new Error(`${outcome}: ${error.message}`);

const consumer = await jetstream(nc).consumers.get("CONTAINERD_STDIO", {
  filter_subjects: `containerd.stdio.${where}.${quoted(result.exec_id)}.*`,
  deliver_policy: "by_start_sequence",
  opt_start_seq: result.after + 1,
});
const open = new Set(["stdout", "stderr"]);
for await (const message of await consumer.consume()) {
  if (message.headers.get("Stdio-Session") !== result.session) continue; // an earlier run of this name
  const line = message.subject.split(".").at(-1);
  if (message.headers.get("Stdio-End") === "1") {
    open.delete(line);
    const status = message.headers.get("Stdio-Exit-Status");
    process.exitCode = status === "" ? 255 : +status; // absent where nobody knows
    if (open.size === 0) break;
  } else {
    process[line].write(message.data);
  }
}
await nc.close();
