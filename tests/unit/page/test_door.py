"""Who gets in, and what every answer says to a browser."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bridge import health
from bridge.errors import ConfigError
from bridge.page import Door, door_for
from bridge.rehearsal import rehearse
from tests.unit.page.served import BEARER, TOKEN, Served, served

DATA = [
    "about",
    "stream",
    "extent",
    "states?at=1",
    "containers/n1/default/web/history",
    "containers/n1/default/web/state?at=1",
]


@pytest.fixture
async def there() -> AsyncIterator[Served]:
    async with rehearse() as stage, served(stage.bus) as found:
        yield found


@pytest.mark.parametrize("path", DATA)
@pytest.mark.parametrize(
    "token", [None, "Bearer", "Bearer wrong-wrong-wrong-wrong", f"Basic {TOKEN}", "Bearer \N{SNOWMAN}"]
)
async def test_without_the_token_nobody_gets_data(there: Served, path: str, token: str | None) -> None:
    headers = [] if token is None else [(b"Authorization", token.encode())]
    answer = await there.client.get(f"/api/{path}", headers=headers)
    assert answer.status_code == 401
    assert "no token" in answer.json()["error"]
    assert TOKEN not in answer.text


@pytest.mark.parametrize(
    "path", ["containers/n1/default/web/actions/kill", "containers/n1/default/web/exec", "session"]
)
async def test_without_the_token_nobody_acts(there: Served, path: str) -> None:
    assert (await there.client.post(f"/api/{path}", json={"id": "x", "command": "true"})).status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_probes_need_no_token(there: Served, path: str) -> None:
    assert (await there.client.get(path)).status_code == 200


async def test_the_token_is_changed_for_a_cookie_that_no_script_reads(there: Served) -> None:
    answer = await there.client.post("/api/session", headers=BEARER)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 204
    assert "; HttpOnly" in cookie
    assert "; SameSite=Strict" in cookie
    assert TOKEN not in cookie
    assert (await there.client.get("/api/about")).status_code == 200
    await there.client.delete("/api/session", headers={"Sec-Fetch-Site": "same-origin"})
    assert (await there.client.get("/api/about")).status_code == 401


async def test_a_cookie_of_another_token_is_none(there: Served) -> None:
    other = Door("another-token-of-another-page").session_cookie(secure=False)
    value = other.partition("=")[2].partition(";")[0]
    cookie = f"{Door(TOKEN).cookie}={value}"
    assert (await there.client.get("/api/about", headers={"Cookie": cookie})).status_code == 401


@pytest.mark.parametrize("path", ["/", "/api/about", "/static/page.css"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example", "[::1"])
async def test_a_name_that_somebody_else_may_own_is_not_served(there: Served, path: str, host: str) -> None:
    answer = await there.client.get(path, headers=BEARER | {"Host": host})
    assert answer.status_code in (400, 421)


@pytest.mark.parametrize("host", ["localhost", "localhost:9465", "127.0.0.1:1", "[::1]:9465", "192.0.2.7", "LOCALHOST"])
async def test_addresses_and_localhost_are_ours(there: Served, host: str) -> None:
    assert (await there.client.get("/api/about", headers=BEARER | {"Host": host})).status_code == 200


async def test_a_host_name_is_served_where_it_was_named() -> None:
    door = Door(TOKEN, hosts=["Page.example"])
    scope = {"type": "http", "path": "/", "method": "GET", "headers": [(b"host", b"page.example:9465")]}
    assert door.refusal(scope) is None
    assert Door(TOKEN).refusal(scope) is not None


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
async def test_a_page_of_another_origin_cannot_ask_for_anything(there: Served, origin: str) -> None:
    await there.client.post("/api/session", headers=BEARER)
    for answer in (
        await there.client.get("/api/about", headers={"Origin": origin}),
        await there.client.post("/api/containers/n1/default/web/exec", json={}, headers={"Origin": origin}),
    ):
        assert answer.status_code == 403


async def test_what_acts_with_the_cookie_alone_has_to_say_where_it_comes_from(there: Served) -> None:
    await there.client.post("/api/session", headers=BEARER)
    path = "/api/containers/n1/default/web/actions/kill"
    assert (await there.client.post(path, json={"id": "x"})).status_code == 403
    ours = {"Origin": there.url}
    answer = await there.client.post(path, json={"id": "x"}, headers=ours)
    assert (answer.status_code, answer.json()["code"]) == (200, "unavailable")  # there is no node: it was let in


async def test_a_form_cannot_act(there: Served) -> None:
    answer = await there.client.post(
        "/api/containers/n1/default/web/actions/kill", data={"id": "x"}, headers=BEARER | {"Origin": there.url}
    )
    assert answer.status_code == 400
    assert "no JSON" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/static/page.css", "/static/none.js", "/api/about", "/api/none"])
async def test_every_answer_lets_a_browser_run_our_files_and_nothing_else(there: Served, path: str) -> None:
    answer = await there.client.get(path, headers=BEARER)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


async def test_files_are_those_of_the_page_alone(there: Served) -> None:
    for path in (
        "/static/../door.py",
        "/static/%2e%2e%2fdoor.py",
        "/static/door.py",
        "/static/",
        "/static/..%2f..%2fconfig.py",
    ):
        assert (await there.client.get(path)).status_code in (401, 404)


async def test_a_file_that_a_browser_has_is_not_sent_again(there: Served) -> None:
    first = await there.client.get("/")
    again = await there.client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


# -- the token


@pytest.fixture
def loopback() -> Iterator[socket.socket]:
    with health.bind(("127.0.0.1", 0)) as listener:
        yield listener


def test_a_token_is_made_and_told_as_a_link(loopback: socket.socket) -> None:
    one, other = (door_for(token=None, listener=loopback).link(loopback) for _ in range(2))
    port = loopback.getsockname()[1]
    assert one.startswith(f"http://127.0.0.1:{port}/#token=")
    assert one != other


def test_a_token_comes_from_a_file(loopback: socket.socket, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    door = door_for(token=None, file=file, listener=loopback)
    assert door.link(loopback).endswith(f"#token={TOKEN}")
    assert not door.made


def test_nobody_else_can_reach_a_page_without_a_token_of_its_own() -> None:
    with health.bind(("0.0.0.0", 0)) as listener:
        with pytest.raises(ConfigError, match=r"open to the network at 0\.0\.0\.0: give it a token"):
            door_for(token=None, listener=listener)
        assert door_for(token=TOKEN, listener=listener).address(listener).startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    "token", ["", "short", "with a space in it all", "with-\N{SNOWMAN}-in-it-all", "line\nline-line-line-line"]
)
def test_what_is_no_token_is_refused_and_not_repeated(token: str) -> None:
    with pytest.raises(ConfigError, match="is no token") as raised:
        Door(token)
    assert not token or token not in str(raised.value)


def test_two_tokens_and_no_file_are_told(loopback: socket.socket, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="two tokens"):
        door_for(token=TOKEN, file=tmp_path / "token", listener=loopback)
    with pytest.raises(ConfigError, match=r"cannot read the page's token in .*: No such file"):
        door_for(token=None, file=tmp_path / "token", listener=loopback)
