// Sends a command as a request and prints its outcome:
//
//     node command.mjs nats://127.0.0.1:4222 NODE NAMESPACE CONTAINER VERB ['{"options": "as JSON"}']
import { bus, place } from "./bus.mjs";

const [url, node, namespace, container, verb, options] = process.argv.slice(2);
const nc = await bus(url);
const reply = await nc.request(`containerd.commands.${place(node, namespace, container)}.${verb}`, options, { timeout: 60_000 });
const outcome = reply.json();
console.log(JSON.stringify(outcome, null, 2));
await nc.close();
process.exitCode = outcome.outcome === "ok" ? 0 : 1;
