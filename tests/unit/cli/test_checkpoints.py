"""`containerd-bridge checkpoint ls|inspect|rm|export|import`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bridge.client.checkpoint_keys import findings_of_keys
from bridge.errors import CommandFailed
from bridge.jetstream.checkpoint_keys import read_keys
from bridge.model.checkpoints import ArchiveFacts, CheckpointKey
from bridge.ports import CommandStore
from bridge.testing import MemoryCheckpoints
from tests.contract.catalogues import archive, key, record, text, unheard
from tests.unit.checkpoints.archives import RECORD, contents, packed
from tests.unit.cli.conftest import Cli
from tests.unit.client.small_bus import SmallInspector, SmallSender
from tests.unit.client.test_checkup import GOOD

ONE, OTHER, ELSEWHERE = key("c1"), key("c2", container="db"), key("c1", node="n2", namespace="default")


def catalogue_of(*keys: CheckpointKey, data: bytes = b"archive", **fields: Any) -> MemoryCheckpoints:
    async def made() -> MemoryCheckpoints:
        catalogue = MemoryCheckpoints()
        for number, each in enumerate(keys):
            facts = await catalogue.store(each, archive(data), upload=f"a-{number}", tell=unheard)
            await catalogue.put(record(each, facts, upload=f"a-{number}", at=number, **fields))
        return catalogue

    return asyncio.run(made())


def test_keygen_makes_a_key_and_takes_nobodys_place(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "key"
    said = cli("checkpoint", "keygen", str(file))
    (secret,) = read_keys(file)
    assert (said.status, said.out.strip()) == (0, secret.fingerprint)
    again = cli("checkpoint", "keygen", str(file))
    assert (again.status, "is there already" in again.err, read_keys(file)) == (2, True, [secret])
    added = json.loads(cli("checkpoint", "keygen", "--add", "--json", str(file)).out)
    assert [one.fingerprint for one in read_keys(file)] == [secret.fingerprint, added["fingerprint"]]


def test_inspect_says_which_key_is_needed_where_it_is_not_here(cli: Cli) -> None:
    facts = ArchiveFacts(size=1, digest="", unpacked=1, key="f" * 32)
    catalogue = MemoryCheckpoints()
    asyncio.run(catalogue.put(record(ONE, facts)))
    said = cli("checkpoint", "inspect", "c1", checkpoints=catalogue)
    assert said.status == 0
    assert f"checkpoint {ONE.token} is encrypted with the key {'f' * 32}, which is not in checkpoint_key" in said.err
    assert json.loads(said.out)[0]["archive"]["key"] == "f" * 32


def test_doctor_looks_for_the_keys_of_what_is_encrypted(cli: Cli) -> None:
    catalogue = MemoryCheckpoints()
    asyncio.run(catalogue.put(record(ONE, ArchiveFacts(size=1, digest="", unpacked=1, key="a"))))
    stores = [CommandStore(name="KV_containerd-checkpoints", holds="checkpoints")]
    for there, expected in ((stores, 1), ([structs.replace(stores[0], absent=True)], 0), ([], 0)):
        inspector = SmallInspector(structs.replace(GOOD, stores=there))
        said = cli("doctor", "--json", inspector=inspector, checkpoints=catalogue)
        about = [one["message"] for one in said.objects if one["area"] == "checkpoints"]
        assert about == ["1 archives are encrypted with the key a, which is not here"] * expected


def test_doctor_says_which_keys_are_needed() -> None:
    records = [record(key(f"c{n}"), ArchiveFacts(size=1, digest="", unpacked=1, key=k)) for n, k in enumerate("aab")]
    plain = record(key("c9"), ArchiveFacts(size=1, digest="", unpacked=1))
    found = list(findings_of_keys([*records, plain], ["b", "c"]))
    assert [(one.level, one.message) for one in found] == [
        ("warn", "2 archives are encrypted with the key a, which is not here"),
        ("ok", "1 encrypted archives can be read with the keys here"),
    ]
    assert [one.level for one in findings_of_keys(records, [])] == ["ok", "ok"]
    assert list(findings_of_keys([plain], [])) == []


def test_ls_shows_them_in_a_table(cli: Cli) -> None:
    said = cli("checkpoint", "ls", checkpoints=catalogue_of(ONE, OTHER, data=text(2048), image="nginx:1", exited=True))
    assert said.status == 0
    assert said.lines[0].split() == ["NAME", "CONTAINER", "NAMESPACE", "NODE", "IMAGE", "SIZE", "CREATED", "NOTES"]
    assert [line.split()[:7] for line in said.lines[1:]] == [
        ["c1", "web.1", "k8s.io", "n1", "nginx:1", "2.0", "KiB"],
        ["c2", "db", "k8s.io", "n1", "nginx:1", "2.0", "KiB"],
    ]
    assert said.lines[1].endswith("ended it")
    assert "\x1b" not in said.out


def test_ls_narrows_it_down(cli: Cli) -> None:
    catalogue = catalogue_of(ONE, OTHER, ELSEWHERE)
    for arguments, found in (
        (["db"], [OTHER]),
        (["--node", "n2"], [ELSEWHERE]),
        (["--namespace", "k8s.io", "web.1"], [ONE]),
        (["nothing"], []),
    ):
        said = cli("checkpoint", "ls", "--quiet", *arguments, checkpoints=catalogue)
        assert said.lines == [each.token for each in found]


def test_ls_json_is_the_records(cli: Cli) -> None:
    said = cli("checkpoint", "ls", "--json", checkpoints=catalogue_of(ONE, OTHER))
    assert [(one["container"], one["archive"]["size"]) for one in said.objects] == [("web.1", 7), ("db", 7)]


def test_what_a_record_says_steers_no_terminal(cli: Cli) -> None:
    said = cli("checkpoint", "ls", checkpoints=catalogue_of(ONE, image="\x1b[2Jevil"))
    assert "\x1b" not in said.out
    said = cli("checkpoint", "inspect", "c1", checkpoints=catalogue_of(ONE, image="\x1b[2Jevil\u202e"))
    assert said.out.isascii()
    assert "\x1b" not in said.out


def test_inspect_shows_all_of_them_as_an_array(cli: Cli) -> None:
    said = cli("checkpoint", "inspect", "c1", "db/c2", checkpoints=catalogue_of(ONE, OTHER))
    assert [one["key"] for one in json.loads(said.out)] == [ONE.token, OTHER.token]
    said = cli("checkpoint", "inspect", "--json", ONE.token, checkpoints=catalogue_of(ONE, OTHER))
    assert [one["id"] for one in said.objects] == ["a-0"]


def test_inspect_tells_what_is_not_there_and_shows_the_rest(cli: Cli) -> None:
    said = cli("checkpoint", "inspect", "nothing", "c1", checkpoints=catalogue_of(ONE))
    assert (said.status, len(json.loads(said.out))) == (1, 1)
    assert "there is no checkpoint nothing" in said.err


def test_several_of_a_name_are_named(cli: Cli) -> None:
    said = cli("checkpoint", "inspect", "c1", checkpoints=catalogue_of(ONE, ELSEWHERE))
    assert said.status == 1
    assert ONE.token in said.err
    assert ELSEWHERE.token in said.err


def test_rm_is_a_command_to_the_node_that_made_it(cli: Cli) -> None:
    sender = SmallSender(lambda command, _: {"checkpoint": command.container, "freed": 7}, ["n1", "n2"])
    said = cli("checkpoint", "rm", "c2", "web.1/c1", sender=sender, checkpoints=catalogue_of(ONE, OTHER))
    assert (said.status, said.lines) == (0, [OTHER.token, ONE.token])
    assert [(asked.subject.node, asked.subject.container, asked.options) for asked in sender.asked] == [
        ("n1", "db", {"name": "c2"}),
        ("n1", "web.1", {"name": "c1"}),
    ]


def test_rm_of_what_a_node_made_that_is_gone_is_done_by_another(cli: Cli) -> None:
    sender = SmallSender(lambda *_: {"checkpoint": "x", "freed": 7}, ["n1"])
    said = cli("checkpoint", "rm", "c1", "--json", sender=sender, checkpoints=catalogue_of(ELSEWHERE))
    assert said.objects == [{"checkpoint": "x", "freed": 7}]
    [asked] = sender.asked
    assert (asked.subject.node, asked.options) == ("n1", {"name": "c1", "of": "n2"})

    sender = SmallSender(lambda *_: {"checkpoint": "x", "freed": 7}, ["n1", "n2", "n3"])
    cli("checkpoint", "rm", "c1", "--on", "n3", sender=sender, checkpoints=catalogue_of(ELSEWHERE))
    assert (sender.asked[0].subject.node, sender.asked[0].options["of"]) == ("n3", "n2")


def test_rm_tells_what_it_could_not_and_goes_on(cli: Cli) -> None:
    sender = SmallSender(lambda *_: {"checkpoint": "x", "freed": 7})
    said = cli("checkpoint", "rm", "nothing", "c1", sender=sender, checkpoints=catalogue_of(ONE))
    assert (said.status, said.lines) == (1, [ONE.token])
    assert "there is no checkpoint nothing" in said.err


def test_export_writes_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "c1.tar"
    said = cli("checkpoint", "export", "c1", str(file), checkpoints=catalogue_of(ONE, data=b"the archive"))
    assert said == (0, "", "")
    assert file.read_bytes() == b"the archive"


def test_export_to_standard_output(cli: Cli) -> None:
    said = cli("checkpoint", "export", "c1", "-", checkpoints=catalogue_of(ONE, data=b"the archive"))
    assert said == (0, "the archive", "")


def test_export_knows_three_ways_to_compress(cli: Cli, tmp_path: Path) -> None:
    said = cli("checkpoint", "export", "c1", "f", "--compression", "lzma", checkpoints=catalogue_of(ONE))
    assert said.status == 2
    assert "choose from zstd, gzip, none" in said.err


def test_import_prints_the_key(cli: Cli, tmp_path: Path) -> None:
    data = asyncio.run(packed(contents(tmp_path)))[0]
    file = tmp_path / "c1.tar.zst"
    file.write_bytes(data)
    catalogue = MemoryCheckpoints()
    said = cli("checkpoint", "import", str(file), "--name", "brought", checkpoints=catalogue)
    assert said == (0, f"{RECORD.key._replace(name='brought').token}\n", "")
    said = cli(
        "checkpoint", "import", str(file), "--node", "n9", "-n", "k8s.io", "-c", "db", "--json", checkpoints=catalogue
    )
    [told] = said.objects
    assert (told["node"], told["namespace"], told["container"], told["imported"]) == ("n9", "k8s.io", "db", True)
    assert "imported" in cli("checkpoint", "ls", checkpoints=catalogue).lines[1]


@pytest.mark.parametrize("option", ["--name", "--node", "--namespace", "--container"])
def test_import_takes_no_names_that_are_none(cli: Cli, option: str) -> None:
    said = cli("checkpoint", "import", "file", option, "../evil", checkpoints=MemoryCheckpoints())
    assert said.status == 2
    assert "../evil" in said.err


def test_what_the_catalogue_refuses_is_said_in_a_sentence(cli: Cli) -> None:
    class Away(MemoryCheckpoints):
        async def list(self, **_which: object):  # type: ignore[no-untyped-def]
            raise CommandFailed("unavailable", "the catalogue of checkpoints: no answer in time")

    said = cli("checkpoint", "ls", checkpoints=Away())
    assert (said.status, said.out) == (1, "")
    assert "the catalogue of checkpoints: no answer in time" in said.err
