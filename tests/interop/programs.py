"""What the tests with software that is not ours have Node do beside the examples."""

from __future__ import annotations

from typing import Final

__all__ = ["PARSE_ASYNCAPI", "READ_CLOUDEVENTS", "VALIDATE"]

PARSE_ASYNCAPI: Final = """
import { Parser } from "@asyncapi/parser";
import { readFileSync } from "node:fs";
const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf-8"));
const wrong = diagnostics.filter((one) => one.severity < 2).map((one) => `${one.path.join("/")}: ${one.message}`);
console.log(JSON.stringify({
  wrong,
  channels: document?.channels().all().map((one) => one.address()),
  operations: document?.operations().all().map((one) => one.id()),
  messages: document?.allMessages().all().map((one) => one.id()),
}));
"""
"""Reads a document from standard input and prints what the official parser finds wrong with it, and what in it."""

READ_CLOUDEVENTS: Final = """
import { HTTP } from "cloudevents";
import { readFileSync } from "node:fs";
for (const body of readFileSync(0, "utf-8").trim().split("\\n")) {
  const event = HTTP.toEvent({ headers: { "content-type": "application/cloudevents+json" }, body });
  event.validate();
  const { id, source, type, subject, dataschema, sequence, data } = event;
  console.log(JSON.stringify({ id, source, type, subject, dataschema, sequence, data }));
}
"""
"""Reads events from standard input, a line each, and prints what the official SDK makes of each."""

VALIDATE: Final = """
import { Ajv2020 } from "ajv/dist/2020.js";
import formats from "ajv-formats";
import { readFileSync } from "node:fs";
const { schemas, messages } = JSON.parse(readFileSync(0, "utf-8"));
const judges = {};
for (const [name, schema] of Object.entries(schemas)) {
  const ajv = new Ajv2020({ allErrors: true });
  formats.default(ajv);
  judges[name] = ajv.compile(schema);
}
console.log(JSON.stringify(messages.map(([name, message]) => (judges[name](message) ? [] : judges[name].errors))));
"""
"""Reads schemas and messages from standard input, and prints what Ajv, a validator of another language, finds wrong."""
