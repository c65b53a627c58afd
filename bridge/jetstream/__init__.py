"""The only room that knows NATS: the connection, the stream of events, the command inbox and sender, the embedded server."""
