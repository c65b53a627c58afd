// Prints how every container stands, and again whenever that changes, for ever:
//
//     node watch.mjs nats://127.0.0.1:4222 [NODE]
import { Kvm } from "@nats-io/kv";
import { bus, quoted } from "./bus.mjs";

const [url, node] = process.argv.slice(2);
const nc = await bus(url);
const states = await new Kvm(nc).open("containerd-state");
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => nc.close());

for await (const entry of await states.watch({ key: `${node === undefined ? "*" : quoted(node)}.*.*` })) {
  if (entry.operation !== "PUT") continue; // long after the container is gone, its key goes too
  const state = entry.json();
  console.log(`${state.node}/${state.namespace}/${state.container}`, state.status, state.exit_status ?? "");
}
