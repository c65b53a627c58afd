"""containerd events as an ordered, replayable log on NATS JetStream, and the containerd task API on the same bus."""

__version__ = "0.1.0"
