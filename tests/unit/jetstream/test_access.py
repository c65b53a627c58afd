"""Where NATS is and how we log in: what is wrong is found before the network is touched, and named without its secret."""

from pathlib import Path

import nkeys  # type: ignore[import-untyped]
import pytest

from bridge.config import NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream.access import access, mask, read_creds

USER_SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_USER).decode()
ACCOUNT_SEED = nkeys.encode_seed(bytes(range(32)), nkeys.PREFIX_BYTE_ACCOUNT).decode()
CREDS = """\
-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


@pytest.mark.parametrize(
    ("given", "urls"),
    [
        ("nats://a:1", ["nats://a:1"]),
        ("a", ["nats://a:4222"]),
        ("a:1", ["nats://a:1"]),
        ("nats://a, tls://b:2", ["nats://a:4222", "tls://b:2"]),
        ("nats://[::1]", ["nats://[::1]:4222"]),
        ("nats://u:p@a:1", ["nats://a:1"]),
    ],
)
def test_urls_are_completed_and_lose_their_secrets(given: str, urls: list[str]) -> None:
    assert access(NatsConfig(url=given)).urls == urls


@pytest.mark.parametrize(
    "url", ["", " , ", "http://a", "ws://a:1", "nats://", "nats://a:b", "nats://a:99999", "nats://a:0", "nats://a b"]
)
def test_a_url_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match=r"nats\.url.*nats://127\.0\.0\.1:4222"):
        access(NatsConfig(url=url))


def test_a_bad_url_is_shown_without_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        access(NatsConfig(url="nats://bob:hunter2@host:port"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["nats://bob:hunter2@a:1", "bob:hunter2@a:1", "nats://hunter2@a,nats://hunter2@b"])
def test_masking_hides_whoever_stands_before_the_host(url: str) -> None:
    assert "hunter2" not in mask(url)


def test_a_user_in_the_url_is_the_login_percent_decoded() -> None:
    assert access(NatsConfig(url="nats://bob:p%40ss@a")).options == {"user": "bob", "password": "p@ss"}


def test_a_name_alone_in_the_url_is_a_token() -> None:
    assert access(NatsConfig(url="nats://t0ken@a")).options == {"token": "t0ken"}


def test_a_login_may_have_an_inbox_of_its_own() -> None:
    assert access(NatsConfig(url="nats://a", inbox="_INBOX.ops")).options == {"inbox_prefix": "_INBOX.ops"}


def test_a_domain_is_asked_under_its_own_name() -> None:
    assert access(NatsConfig(url="nats://a")).api_prefix == "$JS.API"
    found = access(NatsConfig(url="nats://a", domain="hub"))
    assert (found.api_prefix, found.domain) == ("$JS.hub.API", "hub")


@pytest.mark.parametrize("domain", ["a.b", "hub>", " "])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(ConfigError, match=r"nats\.domain .* is no name of a domain"):
        access(NatsConfig(url="nats://a", domain=domain))


def test_a_domain_and_a_prefix_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"nats\.domain and nats\.api_prefix both say"):
        access(NatsConfig(url="nats://a", domain="hub", api_prefix="JS.containerd.API"))


def test_two_logins_are_refused() -> None:
    with pytest.raises(ConfigError, match="another login beside it"):
        access(NatsConfig(url="nats://bob:x@a", token="t"))


def test_two_users_for_two_servers_are_refused() -> None:
    with pytest.raises(ConfigError, match="different users"):
        access(NatsConfig(url="nats://bob:x@a,nats://eve:x@b"))


@pytest.mark.parametrize("config", [NatsConfig(url="tls://a"), NatsConfig(url="nats://a", tls_first=True)])
def test_tls_is_demanded_by_the_scheme_and_by_its_settings(config: NatsConfig) -> None:
    assert access(config).demand_tls


def test_without_tls_settings_none_is_demanded() -> None:
    assert not access(NatsConfig(url="nats://a")).demand_tls


@pytest.mark.parametrize("setting", ["nkey", "creds", "tls_ca"])
def test_a_file_that_is_missing_is_named_with_its_setting(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "absent"
    with pytest.raises(ConfigError, match=rf"nats\.{setting}: cannot read {path}: No such file"):
        access(NatsConfig(url="a", **{setting: path}))  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["nkey", "creds"])
def test_a_file_that_is_no_text_is_refused(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=rf"nats\.{setting}: {path} is not a text file"):
        access(NatsConfig(url="a", **{setting: path}))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", ["", "SUAB", "hello", USER_SEED[:-3], "SU" + "A" * 56, ACCOUNT_SEED])
def test_what_is_no_seed_of_a_user_is_refused_without_being_shown(seed: str, tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.write_text(seed)
    with pytest.raises(ConfigError, match=r"nats\.nkey: .*SU") as caught:
        access(NatsConfig(url="a", nkey=path))
    assert len(seed) < 5 or seed not in str(caught.value)


def test_a_seed_with_a_line_end_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "seed"
    path.write_text(USER_SEED + "\n")
    assert access(NatsConfig(url="a", nkey=path)).options == {"nkeys_seed": str(path)}


def test_a_creds_file_gives_jwt_and_seed(tmp_path: Path) -> None:
    path = tmp_path / "user.creds"
    path.write_text(CREDS.format(jwt="eyJ0.eyJq.c2ln", seed=USER_SEED))
    assert read_creds(path) == ("eyJ0.eyJq.c2ln", USER_SEED)


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("", "no block with a user JWT"),
        ("-----BEGIN NATS USER JWT-----\n", "no block with a user JWT"),
        (CREDS.split("***", maxsplit=1)[0].format(jwt="a.b.c"), "no block with an nkey seed"),
        (CREDS.format(jwt="a.b.c", seed="SUAB"), "nkey seed"),
    ],
)
def test_a_creds_file_that_lacks_something_is_refused(text: str, lacks: str, tmp_path: Path) -> None:
    path = tmp_path / "user.creds"
    path.write_text(text)
    with pytest.raises(ConfigError, match=lacks):
        access(NatsConfig(url="a", creds=path))


def test_creds_are_read_again_at_every_login(tmp_path: Path) -> None:
    path = tmp_path / "user.creds"
    path.write_text(CREDS.format(jwt="first.b.c", seed=USER_SEED))
    options = access(NatsConfig(url="a", creds=path)).options
    path.write_text(CREDS.format(jwt="second.b.c", seed=USER_SEED))
    assert options["user_jwt_cb"]() == b"second.b.c"


def test_a_ca_file_without_certificate_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("no certificate")
    with pytest.raises(ConfigError, match=rf"nats\.tls_ca: {path} holds no certificate"):
        access(NatsConfig(url="a", tls_ca=path))
