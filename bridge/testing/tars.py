"""Files in memory as tars, which layers and archives of images are."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping

__all__ = ["files_in", "tar_of"]


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Return files as a tar, the same one for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, data in sorted(files.items()):
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def files_in(data: bytes) -> dict[str, bytes]:
    """Return the files of a tar by their paths."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {
            f"/{info.name}": file.read() for info in tar if info.isreg() and (file := tar.extractfile(info)) is not None
        }
