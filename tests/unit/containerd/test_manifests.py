"""The sizes of images are asked for side by side, and not all at once."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import msgspec

from bridge.containerd.manifests import MEASURING, Manifests
from bridge.ports import Descriptor

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Store:
    """A content store that says how many ask it at the same time; the blob `absent` is not there."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.absent = ""
        self.asking = 0
        self.most = 0

    def put(self, data: bytes) -> str:
        self.blobs[digest(data)] = data
        return digest(data)

    async def read(self, _namespace: str, of: str, *, most: int) -> bytes:
        await self._ask()
        assert len(self.blobs[of]) <= most
        return self.blobs[of]

    async def size(self, _namespace: str, of: str) -> int | None:
        await self._ask()
        return None if of == self.absent else 10

    async def _ask(self) -> None:
        self.asking += 1
        self.most = max(self.most, self.asking)
        for _ in range(3):
            await asyncio.sleep(0)
        self.asking -= 1

    def image(self, number: int, *, layers: int = 20) -> Descriptor:
        blobs = [{"digest": digest(f"{number} {layer}".encode()), "size": 10} for layer in range(layers)]
        data = msgspec.json.encode({"mediaType": MANIFEST, "config": blobs[0], "layers": blobs[1:]})
        return Descriptor(MANIFEST, self.put(data), len(data))


async def sizes(store: Any, targets: list[Descriptor]) -> list[int | None]:
    manifests = Manifests(store)
    return list(await asyncio.gather(*[manifests.size("default", "x", target) for target in targets]))


async def test_sizes_are_added_up_and_containerd_is_not_flooded() -> None:
    store = Store()
    targets = [store.image(number) for number in range(30)]
    assert await sizes(store, targets) == [200] * 30
    assert store.most == MEASURING


async def test_one_image_with_many_layers_is_asked_about_side_by_side() -> None:
    store = Store()
    assert await sizes(store, [store.image(1, layers=100)]) == [1000]
    assert store.most == MEASURING


async def test_an_image_that_is_not_all_there_has_no_size() -> None:
    store = Store()
    store.absent = digest(b"1 3")
    assert await sizes(store, [store.image(1), store.image(2)]) == [None, 200]
