"""A busybox image made on the spot, because nothing can be pulled: one layer, written as an OCI image archive."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

BUSYBOX = "docker.io/library/busybox:local"

# The longer lists of applets that a build of busybox can have are reached as `busybox NAME`.
APPLETS = ("sh", "cat", "date", "dd", "echo", "env", "false", "head", "hostname", "id", "kill", "ls", "mkdir", "mv", "nc",
           "ps", "rm", "seq", "sleep", "stat", "sync", "tail", "test", "touch", "true", "tty", "wc", "yes")  # fmt: skip
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
OCI = "application/vnd.oci.image"

Pack = Callable[[bytes], bytes]
PLAIN: tuple[str, Pack] = ("", lambda tree: tree)


def archive(
    busybox: bytes,
    *,
    name: str = BUSYBOX,
    config: Mapping[str, Any] | None = None,
    layers: Sequence[Mapping[str, bytes | str]] = (),
    packed: tuple[str, Pack] = PLAIN,
) -> bytes:
    """The tar file that `ctr images import` takes, with `busybox` (a static binary) as everything there is in it.

    `config` says more of how to run it; each of `layers` lays files (bytes) and links (the path that they lead to) over it;
    `packed` is how layers are, as the end of a media type, and what does it.
    """
    blobs = content(busybox, config=config, layers=layers, packed=packed)
    manifest = blobs[-1]
    names = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name.rpartition(":")[2]}
    index = _json(
        schemaVersion=2,
        mediaType=f"{OCI}.index.v1+json",
        manifests=[_descriptor(f"{OCI}.manifest.v1+json", manifest) | {"annotations": names}],
    )
    files = {"oci-layout": _json(imageLayoutVersion="1.0.0"), "index.json": index}
    files |= {f"blobs/{_digest(blob).replace(':', '/')}": blob for blob in blobs}
    return _tar([_file(path, data, mode=0o644) for path, data in files.items()])


def content(
    busybox: bytes,
    *,
    config: Mapping[str, Any] | None = None,
    layers: Sequence[Mapping[str, bytes | str]] = (),
    packed: tuple[str, Pack] = PLAIN,
) -> list[bytes]:
    """The blobs of an image: its layers, its configuration and, last, its manifest."""
    suffix, pack = packed
    trees = [_layer(busybox), *(_tar([_any(path, what) for path, what in layer.items()]) for layer in layers)]
    configuration = _json(
        architecture=ARCHITECTURES.get(platform.machine(), platform.machine()),
        os="linux",
        config={"Env": ["PATH=/bin"], "Cmd": ["sh"], **(config or {})},
        rootfs={"type": "layers", "diff_ids": [_digest(tree) for tree in trees]},
    )
    blobs = [pack(tree) for tree in trees]
    manifest = _json(
        schemaVersion=2,
        mediaType=f"{OCI}.manifest.v1+json",
        config=_descriptor(f"{OCI}.config.v1+json", configuration),
        layers=[_descriptor(f"{OCI}.layer.v1.tar{suffix}", blob) for blob in blobs],
    )
    return [*blobs, configuration, manifest]


def saved(busybox: bytes, *tags: str) -> bytes:
    """The same image as `docker save` wrote it for years: each layer in a directory of its own, one of them linked to."""
    layer, configuration, _ = content(busybox)
    names = [{"Config": "config.json", "RepoTags": list(tags), "Layers": ["b/layer.tar"]}]
    return _tar(
        [
            _file("a/layer.tar", layer, mode=0o644),
            _entry("b/layer.tar", tarfile.SYMTYPE, link="../a/layer.tar"),
            _file("config.json", configuration, mode=0o644),
            _file("manifest.json", json.dumps(names).encode(), mode=0o644),
        ]
    )


def write(busybox: Path, target: Path) -> None:
    """Write the archive around the static program `busybox` to `target`."""
    target.write_bytes(archive(busybox.read_bytes()))


def _layer(busybox: bytes) -> bytes:
    entries = [_entry(path, tarfile.DIRTYPE) for path in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var")]
    entries.append(_file("bin/busybox", busybox, mode=0o755))
    entries += [_entry(f"bin/{applet}", tarfile.SYMTYPE, link="busybox") for applet in APPLETS]
    return _tar(entries)


def _entry(path: str, kind: bytes, *, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.linkname = kind, 0o755, link
    return info, b""


def _file(path: str, data: bytes, *, mode: int) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(path)
    info.mode, info.size = mode, len(data)
    return info, data


def _any(path: str, what: bytes | str) -> tuple[tarfile.TarInfo, bytes]:
    return _entry(path, tarfile.SYMTYPE, link=what) if isinstance(what, str) else _file(path, what, mode=0o644)


def _tar(entries: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _json(**fields: Any) -> bytes:
    return json.dumps(fields, sort_keys=True).encode()
