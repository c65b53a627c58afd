// Lists the nodes that take commands, as instances of the NATS micro service that they are:
//
//     node nodes.mjs nats://127.0.0.1:4222
import { Svcm } from "@nats-io/services";
import { bus } from "./bus.mjs";

const [url] = process.argv.slice(2);
const nc = await bus(url);
const services = new Svcm(nc).client();
for await (const { id, metadata, version } of await services.info("containerd-bridge")) {
  console.log(metadata.node, version, metadata.groups);
  for await (const { endpoints } of await services.stats("containerd-bridge", id)) {
    for (const { name, num_requests, num_errors } of endpoints) {
      if (num_requests > 0) console.log(" ", name, num_requests, "requests,", num_errors, "errors");
    }
  }
}
await nc.close();
