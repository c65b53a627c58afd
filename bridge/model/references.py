"""Images' names: what people write, and what containerd calls an image."""

from __future__ import annotations

__all__ = ["full_reference"]


def full_reference(name: str) -> str:
    """Return an image's whole name: `nginx` is `docker.io/library/nginx:latest` (distribution/reference, ParseDockerRef)."""
    first, slash, _ = name.partition("/")
    if not slash or not (set(".:") & set(first) or first == "localhost"):
        name = f"docker.io/{name}" if slash else f"docker.io/library/{name}"
    last = name.rpartition("/")[2]
    return name if ":" in last or "@" in last else f"{name}:latest"
