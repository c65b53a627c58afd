"""What to do about an error, as far as it is known without asking anybody."""

from __future__ import annotations

from bridge.errors import ConfigError

__all__ = ["suggestion"]


def suggestion(error: BaseException) -> str:
    """Return what to do about an error: its notes, and what is known of its kind without asking anybody."""
    notes = getattr(error, "__notes__", [])
    if notes:
        return str(notes[0])
    text = str(error)
    if isinstance(error, ConfigError) and "cannot connect to NATS" in text:
        if "refuses our login" in text:
            return "Give the login with --nats-creds, --nats-user and --nats-password, --nats-nkey or --nats-token."
        return "Start one (`nats-server -js`), or say where it is: --nats nats://HOST:4222, or $CONTAINERD_BRIDGE_NATS."
    if "not permitted" in text or "permissions violation" in text.lower():
        return "See what this login lacks: `containerd-bridge doctor --role reader` (or namespace, container, node)."
    return ""
