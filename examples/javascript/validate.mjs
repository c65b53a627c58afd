// Reads the whole log and holds every message to the schema that a bridge itself tells on the bus:
//
//     node validate.mjs nats://127.0.0.1:4222
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { jetstream } from "@nats-io/jetstream";
import { bus } from "./bus.mjs";

const [url] = process.argv.slice(2);
const nc = await bus(url);
const ajv = new Ajv2020({ allErrors: true });
formats.default(ajv);
const valid = ajv.compile((await nc.request("containerd.schemas.envelope", "", { timeout: 60_000 })).json());

const consumer = await jetstream(nc).consumers.get("CONTAINERD_EVENTS", { deliver_policy: "all" });
let left = (await consumer.info()).num_pending;
let count = 0;
if (left > 0) {
  for await (const message of await consumer.consume()) {
    count += 1;
    if (!valid(message.json())) {
      process.exitCode = 1;
      console.log(message.subject, ajv.errorsText(valid.errors), message.string());
    }
    if (message.info.pending === 0) break;
  }
}
console.log(count, "messages,", process.exitCode === 1 ? "not all valid" : "all valid");
await nc.close();
