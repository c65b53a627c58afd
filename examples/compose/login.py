"""How a program in a container logs in to NATS: by the same variables that `containerd-bridge` reads there."""

from __future__ import annotations

import os

from bridge.client import NatsConfig

PREFIX = "CONTAINERD_BRIDGE_NATS"


def login() -> NatsConfig:
    """Return what the environment says."""
    return NatsConfig(
        url=os.environ[PREFIX],
        user=os.environ.get(f"{PREFIX}_USER"),
        password=os.environ.get(f"{PREFIX}_PASSWORD"),
        inbox=os.environ.get(f"{PREFIX}_INBOX", "_INBOX"),
    )
