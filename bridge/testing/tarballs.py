"""Tar archives in memory, for layers and images of a containerd in memory: the same archive for the same files."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

__all__ = ["files_of", "tar_of"]


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of files by their absolute paths."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in sorted(files.items()):
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def files_of(data: bytes) -> dict[str, bytes]:
    """Return the regular files of an archive by their absolute paths."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            f"/{info.name}": file.read() for info in tar if info.isreg() and (file := tar.extractfile(info)) is not None
        }
