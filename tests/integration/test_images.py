"""Images on real containerd: listed, pulled from a registry of the test's own, imported, removed.

The default run has containerd 2.1; `-m older` repeats it with 1.6 and 1.7. `ctr` bears witness.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import pytest
import zstandard

from bridge.containerd.runtime import ContainerdRuntime
from bridge.control.dispatch import Dispatcher
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.errors import CommandFailed
from bridge.model.commands import GROUPS
from bridge.model.outcomes import Outcome, Progress
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandRequest
from tests.fix_containerd import ContainerdFactory
from tests.integration.test_containerd_runtime import GENERATIONS, eventually
from tests.testbed import BUSYBOX, Certificates, Containerd, Ctr, Registry
from tests.testbed.image import archive, content, saved
from tests.testbed.roots import with_containerd
from tests.unit.policy.specs import LENIENT

SLEEP = ["sleep", "1000"]
PIECE = 100_000

pytestmark = pytest.mark.containerd


class Objects:
    """Object stores with one object each: the archive that the test put there."""

    def __init__(self) -> None:
        self.data = b""
        self.error: CommandFailed | None = None

    async def read(self, bucket: str, name: str) -> AsyncIterator[bytes]:
        for start in range(0, len(self.data), PIECE):
            yield self.data[start : start + PIECE]
        if self.error is not None:
            raise self.error


class Node:
    """A dispatcher on a real containerd, asked as the bus would ask it."""

    def __init__(self, runtime: ContainerdRuntime, ctr: Ctr) -> None:
        self.runtime = runtime
        self.ctr = ctr
        self.objects = Objects()
        self.told: list[Progress] = []
        self.dispatcher = Dispatcher(
            "node",
            runtime,
            policy=Policy(groups=GROUPS, book=LENIENT),
            record=CommandRecord(lambda *_: None),
            objects=self.objects,
            tell=self.told.append,
        )

    async def __call__(self, verb: str, container: str | None = None, **options: Any) -> Outcome:
        subject = CommandSubject("node", self.ctr.namespace, container, verb)
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=json.dumps(options).encode()))

    async def ok(self, verb: str, container: str | None = None, **options: Any) -> Any:
        outcome = await self(verb, container, **options)
        assert outcome.outcome == "ok", outcome.error
        return outcome.result

    async def failure(self, verb: str, container: str | None = None, **options: Any) -> tuple[str, str]:
        outcome = await self(verb, container, **options)
        assert outcome.error is not None, outcome
        return outcome.error.code, outcome.error.message

    async def take_in(self, data: bytes, **options: Any) -> Any:
        self.objects.data = data
        return await self.ok("import", bucket="b", object="o", **options)

    async def refuse(self, data: bytes, **options: Any) -> tuple[str, str]:
        self.objects.data = data
        return await self.failure("import", bucket="b", object="o", **options)

    def names(self) -> list[str]:
        return self.ctr("images", "ls", "-q").split()

    def digests(self) -> list[str]:
        return self.ctr("content", "ls", "-q").split()

    async def until_empty(self) -> None:
        await eventually(lambda: asyncio.to_thread(lambda: not self.digests()))


@pytest.fixture(params=GENERATIONS)
def host(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Containerd:
    """containerd 2.1, and with `-m older` 1.7 and 1.6."""
    return _containerds(request.param)


@pytest.fixture
async def node(host: Containerd) -> AsyncIterator[Node]:
    with host.fresh_namespace() as ctr:
        async with ContainerdRuntime(host.address) as runtime:
            yield Node(runtime, ctr)


@pytest.fixture
async def empty(host: Containerd) -> AsyncIterator[Node]:
    """A node whose namespace has no image yet."""
    with host.fresh_namespace(busybox=False) as ctr:
        async with ContainerdRuntime(host.address) as runtime:
            yield Node(runtime, ctr)


def busybox(host: Containerd) -> bytes:
    return (with_containerd(host.version) / "bin" / "busybox").read_bytes()


# -- images


async def test_images_are_listed_with_their_sizes(node: Node) -> None:
    (image,) = (await node.ok("images")).images
    line = next(line for line in node.ctr("images", "ls").splitlines() if BUSYBOX in line)
    assert image.name == BUSYBOX
    assert image.digest in line
    blobs = content(busybox(node.ctr.host))[:-1]
    assert image.size == sum(map(len, blobs))
    assert image.created_at is not None


async def test_filters_are_containerds_own(node: Node) -> None:
    assert (await node.ok("images", filters=["name==nothing"])).images == []
    assert len((await node.ok("images", filters=[f'name=="{BUSYBOX}"'], sizes=False)).images) == 1
    code, _ = await node.failure("images", filters=["name=="])
    assert code in {"invalid_argument", "unknown"}


async def test_an_image_whose_content_is_gone_has_no_size_and_makes_no_container(node: Node) -> None:
    for digest in node.digests():
        node.ctr("content", "rm", digest)
    (image,) = (await node.ok("images")).images
    assert image.size is None
    code, sentence = await node.failure("create", "web.1", image=BUSYBOX)
    assert (code, "is not all there" in sentence) == ("failed_precondition", True)


# -- rmi


async def test_a_name_is_removed_and_what_nobody_needs_goes_with_it(node: Node) -> None:
    await node.ok("rmi", image=BUSYBOX, sync=True)
    assert (node.names(), node.digests()) == ([], [])


async def test_content_that_another_image_shares_stays(node: Node) -> None:
    """moby's client deleted content by its digest; here only the name goes."""
    node.ctr("images", "tag", BUSYBOX, "docker.io/library/other:1")
    shared = {f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in content(busybox(node.ctr.host))}
    await node.ok("rmi", image=BUSYBOX, sync=True)
    assert node.names() == ["docker.io/library/other:1"]
    assert set(node.digests()) == shared
    await node.ok("run", "web.1", image="docker.io/library/other:1", command=SLEEP)


async def test_an_image_in_use_stays_unless_forced(node: Node) -> None:
    await node.ok("run", "web.1", image=BUSYBOX, command=SLEEP)
    code, sentence = await node.failure("rmi", image=BUSYBOX)
    assert code == "failed_precondition"
    assert sentence == f"image {BUSYBOX} is used by web.1: delete them first, or remove its name with force"
    removed = await node.ok("rmi", image=BUSYBOX, force=True, sync=True)
    assert removed.used_by == ["web.1"]
    assert node.ctr.status("web.1") == "RUNNING"


async def test_a_name_that_is_not_there_is_told(node: Node) -> None:
    code, sentence = await node.failure("rmi", image="docker.io/library/none:1")
    assert (code, "there is no image docker.io/library/none:1" in sentence) == ("not_found", True)


# -- import


async def test_an_oci_layout_is_taken_in_whole(empty: Node) -> None:
    data = archive(busybox(empty.ctr.host))
    imported = await empty.take_in(data)
    assert [image.name for image in imported.images] == [BUSYBOX] == empty.names()
    assert imported.bytes == len(data)
    assert empty.ctr("leases", "ls", "-q") == ""
    # From here on it is held by its name alone.
    await empty.runtime.leases.create(empty.ctr.namespace, "garbage", {})
    await empty.runtime.leases.delete(empty.ctr.namespace, "garbage", sync=True)
    await empty.ok("run", "web.1", image=BUSYBOX, command=SLEEP)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("pack", [partial(gzip.compress, compresslevel=1), zstd], ids=["gzip", "zstd"])
async def test_packed_archives_are_taken_in_too(empty: Node, pack: Callable[[bytes], bytes]) -> None:
    await empty.take_in(pack(archive(busybox(empty.ctr.host))))
    await empty.ok("run", "web.1", image=BUSYBOX, command=SLEEP)


@pytest.mark.parametrize("packed", [("+gzip", gzip.compress), ("+zstd", zstd)], ids=["gzip", "zstd"])
async def test_layers_may_be_packed_themselves(empty: Node, packed: tuple[str, Callable[[bytes], bytes]]) -> None:
    await empty.take_in(archive(busybox(empty.ctr.host), packed=packed))
    await empty.ok("run", "web.1", image=BUSYBOX, command=SLEEP)


async def test_what_docker_saves_is_taken_in(empty: Node) -> None:
    imported = await empty.take_in(saved(busybox(empty.ctr.host), "shop:1", "registry.example:5000/shop:2"))
    names = ["docker.io/library/shop:1", "registry.example:5000/shop:2"]
    assert sorted(image.name for image in imported.images) == names == sorted(empty.names())
    await empty.ok("run", "web.1", image=names[0], command=SLEEP)
    assert empty.ctr.status("web.1") == "RUNNING"


async def test_an_archive_without_names_is_given_one(empty: Node) -> None:
    data = saved(busybox(empty.ctr.host))
    code, sentence = await empty.refuse(data)
    assert (code, sentence) == ("invalid_argument", "the archive names none of its images: give a name")
    await empty.take_in(data, name="shop:3")
    assert empty.names() == ["docker.io/library/shop:3"]


async def test_the_same_archive_again_changes_nothing(node: Node) -> None:
    before = set(node.digests())
    await node.take_in(archive(busybox(node.ctr.host)))
    assert node.names() == [BUSYBOX]
    assert set(node.digests()) <= before
    await node.ok("run", "web.1", image=BUSYBOX, command=SLEEP)


def spoilt(data: bytes) -> bytes:
    """The archive with one bit of the layer turned."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (spoilt, "it is damaged"),
        (lambda data: data[: len(data) // 2], "no tar archive"),
        (lambda _: b"no tar at all" * 1000, "no tar archive"),
        (lambda _: b"", "no tar archive"),
        (lambda data: data.replace(b'"config": {"digest": "sha256:', b'"config": {"digest": "sha255:'), "damaged"),
    ],
    ids=["a bit", "half of it", "something else", "nothing", "an unknown digest"],
)
async def test_of_a_damaged_archive_nothing_stays(empty: Node, spoil: Callable[[bytes], bytes], sentence: str) -> None:
    code, told = await empty.refuse(spoil(archive(busybox(empty.ctr.host))))
    assert (code, sentence in told) == ("invalid_argument", True), told
    assert empty.names() == []
    await empty.until_empty()


async def test_an_object_that_breaks_off_is_no_image(empty: Node) -> None:
    empty.objects.error = CommandFailed("invalid_argument", "object o in bucket b is damaged")
    code, sentence = await empty.refuse(archive(busybox(empty.ctr.host)))
    assert (code, sentence) == ("invalid_argument", "object o in bucket b is damaged")
    assert empty.names() == []
    await empty.until_empty()


async def test_an_archive_for_another_platform_is_refused(empty: Node) -> None:
    blobs = content(busybox(empty.ctr.host))
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": "application/vnd.oci.image.index.v1+json",
                "digest": f"sha256:{hashlib.sha256(b'{}').hexdigest()}",
                "size": 2,
                "annotations": {"io.containerd.image.name": BUSYBOX},
            }
        ],
    }
    data = archive(busybox(empty.ctr.host))
    assert blobs[-1] in data
    from tests.testbed.image import _file, _tar

    inner = {"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
             "digest": "sha256:" + "0" * 64, "size": 1, "platform": {"os": "plan9", "architecture": "vax"}}]}  # fmt: skip
    body = json.dumps(inner).encode()
    index["manifests"][0] |= {"digest": f"sha256:{hashlib.sha256(body).hexdigest()}", "size": len(body)}  # type: ignore[index]
    tar = _tar(
        [
            _file("index.json", json.dumps(index).encode(), mode=0o644),
            _file(f"blobs/sha256/{hashlib.sha256(body).hexdigest()}", body, mode=0o644),
        ]
    )
    code, sentence = await empty.refuse(tar)
    assert code == "failed_precondition"
    assert "has nothing for linux/" in sentence
    assert empty.names() == []


# -- pull


@pytest.fixture
def registry(host: Containerd) -> Iterator[Registry]:
    with Registry(content(busybox(host))) as started:
        yield started


async def test_an_image_is_pulled_and_unpacked(empty: Node, registry: Registry) -> None:
    generation = empty.ctr.host.version
    if generation != "2.1":
        code, sentence = await empty.failure("pull", image=registry.image, plain_http=True)
        assert code == "unimplemented"
        assert "1.7 and later can" in sentence if generation == "1.6" else "2.0 and later do" in sentence
        assert empty.names() == []
        return
    pulled = await empty.ok("pull", image=registry.image, plain_http=True, id="p1")
    assert pulled.image.name == registry.image
    assert pulled.image.size == sum(len(blob) for blob in content(busybox(empty.ctr.host))[:-1])
    assert {one.id for one in empty.told} == {"p1"}
    assert any(one.total and one.done == one.total for one in empty.told)
    assert "Committed" in empty.ctr("snapshots", "ls")
    assert empty.ctr("leases", "ls", "-q") == ""
    await empty.ok("run", "web.1", image=registry.image, command=SLEEP)


async def test_what_the_registry_does_not_have_is_told(empty: Node, registry: Registry) -> None:
    if empty.ctr.host.version != "2.1":
        return
    missing = registry.image.replace("test/image", "test/none")
    code, sentence = await empty.failure("pull", image=missing, plain_http=True)
    assert (code, missing in sentence) == ("not_found", True)


async def test_a_name_that_is_not_whole_is_told(empty: Node) -> None:
    code, sentence = await empty.failure("pull", image="nginx")
    assert code == "invalid_argument"
    assert sentence.startswith("nginx is no whole name")


@pytest.mark.parametrize("version", [pytest.param("2.1"), pytest.param("1.7", marks=pytest.mark.older)])
async def test_a_registry_with_tls_and_a_password(
    version: str, containerd_factory: ContainerdFactory, certificates: Certificates
) -> None:
    host = containerd_factory(version)
    # What Go trusts, it reads from this directory when it first needs it.
    host.run("sh", "-c", "mkdir -p /etc/ssl/certs && cat > /etc/ssl/certs/test.pem", stdin=certificates.ca.read_text())
    pair = (certificates.server, certificates.server_key)
    with (
        Registry(content(busybox(host)), certificate=pair, login=("ann", "secret")) as registry,
        host.fresh_namespace(busybox=False) as ctr,
    ):
        async with ContainerdRuntime(host.address) as runtime:
            node = Node(runtime, ctr)
            code, sentence = await node.failure("pull", image=registry.image)
            assert code != "ok"
            assert "secret" not in sentence
            pulled = await node.ok("pull", image=registry.image, username="ann", password="secret")
            assert pulled.image.name == registry.image
            await node.ok("run", "web.1", image=registry.image, command=SLEEP)


# -- taking back


async def test_of_an_import_that_is_cancelled_in_the_middle_nothing_is_left(empty: Node) -> None:
    data = archive(busybox(empty.ctr.host))
    half, go_on = asyncio.Event(), asyncio.Event()

    async def read(_bucket: str, _name: str) -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        half.set()
        await go_on.wait()

    empty.objects.read = read  # type: ignore[method-assign, assignment]
    importing = asyncio.create_task(empty("import", bucket="b", object="o", id="i-1"))
    async with asyncio.timeout(90):
        await half.wait()
    subject = CommandSubject("node", None, None, "cancel")
    cancelled = await empty.dispatcher.handle(CommandRequest(subject=subject, body=b'{"command": "i-1"}'))
    assert cancelled.outcome == "ok", cancelled.error
    outcome = await importing
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.message) == ("cancelled", "import was cancelled: nothing of o is left")
    assert empty.names() == []
    assert empty.ctr("leases", "ls", "-q") == ""
    await empty.until_empty()
    await eventually(lambda: asyncio.to_thread(lambda: not empty.ctr("content", "active").splitlines()[1:]))
