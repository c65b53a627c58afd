"""Who gets in: a token, asked for by every request for data, and from no page but ours.

The token comes from whoever starts the page, or is made at the start and told once. A browser brings it in the link's fragment,
which no server ever sees, and changes it for a cookie that no script can read and no other site can have sent. Programs send it
as `Authorization: Bearer`.

A page on this machine can be reached by every site that its user's browser looks at, so a request has to name a host that cannot
be anybody else's (DNS rebinding), and one that changes something has to come from our own origin (CSRF). The files of the page
themselves hold no data and are given to everybody who names such a host.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from collections.abc import Sequence
from hashlib import sha256
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge.errors import ConfigError

__all__ = ["Door", "door_for"]

SHORTEST: Final = 16
"""Characters of a token: fewer could be guessed."""

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""What every answer says: the page runs its own files and nothing else, and nothing that comes from a container is ever run."""

OPEN: Final = ("/", "/favicon.ico")
UNCHANGING: Final = ("GET", "HEAD")


class Door:
    """Lets requests in, or answers why not."""

    def __init__(self, token: str, *, hosts: Sequence[str] = (), made: bool = False) -> None:
        """Take the token, the host names besides `localhost` and IP addresses, and whether we made the token ourselves.

        Raises:
            ConfigError: the token is too short.
        """
        if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(
                f"the token of the page is no token: give {SHORTEST} or more printable ASCII characters without spaces"
            )
        self._token = token
        self._hosts = {name.lower() for name in hosts}
        self.made = made
        # Cookies do not tell ports apart: each page on a host has a name of its own for it. What is in it is not the token.
        self.cookie: Final = f"containerd-bridge-{self._derived('name')[:8]}"
        self._session = self._derived("session")

    def address(self, listener: socket.socket) -> str:
        """Return the page's URL, as somebody on this machine would write it."""
        host, port = listener.getsockname()[:2]
        if ipaddress.ip_address(host.partition("%")[0]).is_unspecified:
            host = "127.0.0.1"
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def link(self, listener: socket.socket) -> str:
        """Return the URL that lets a browser in. Whoever has it has the token."""
        return f"{self.address(listener)}#token={self._token}"

    def guard(self, inner: ASGIApp) -> ASGIApp:
        """Return the application behind this door."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return

            async def send_safely(message: Message) -> None:
                if message["type"] == "http.response.start":
                    headers = MutableHeaders(scope=message)
                    for name, value in HEADERS.items():
                        headers[name] = value
                    headers.setdefault("Cache-Control", "no-store")
                await send(message)

            refused = self.refusal(scope)
            if refused is None:
                await inner(scope, receive, send_safely)
            else:
                status, sentence = refused
                await JSONResponse({"error": sentence}, status_code=status)(scope, receive, send_safely)

        return application

    def refusal(self, scope: Scope) -> tuple[int, str] | None:  # noqa: PLR0911 - one line for each reason
        """Return status and reason where a request is not let in, else None."""
        headers, path, method = Headers(scope=scope), str(scope["path"]), str(scope["method"])
        host = headers.get("host", "")
        if not self._is_ours(host):
            return (
                421,
                f"this page is not at {host[:100]!r}: name the host with --page-host, or use an IP address or localhost",
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "this came from a page of another origin"
        if method in UNCHANGING and (path in OPEN or path.startswith("/static/")):
            return None
        if self._has_token(headers):
            return None
        if not self._has_session(headers):
            return 401, "no token: open the page with the link that its log shows, or send it as Authorization: Bearer"
        if method not in UNCHANGING and origin is None and headers.get("sec-fetch-site") != "same-origin":
            return 403, "this did not come from the page itself"
        return None

    def session_cookie(self, *, secure: bool) -> str:
        """Return what has a browser remember that it was let in, until it is closed."""
        return f"{self.cookie}={self._session}; Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")

    def farewell_cookie(self) -> str:
        """Return what has a browser forget it."""
        return f"{self.cookie}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"

    # -- inside

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _same(given.strip(), self._token)

    def _has_session(self, headers: Headers) -> bool:
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            return False
        return self.cookie in cookies and _same(cookies[self.cookie].value, self._session)

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == "localhost" or name in self._hosts or _is_address(name)

    def _derived(self, purpose: str) -> str:
        return hmac.new(self._token.encode(), f"page {purpose}".encode(), sha256).hexdigest()


def door_for(
    *, token: str | None, file: Path | None = None, hosts: Sequence[str] = (), listener: socket.socket
) -> Door:
    """Return the door of a page that is served on `listener`.

    Args:
        token: the token; one is made unless it, or a file, is given.
        file: the file that holds it.
        hosts: host names under which the page is reached, besides `localhost` and IP addresses.
        listener: where it will be.

    Raises:
        ConfigError: the token cannot be read or is none, or there is none and others could reach the page.
    """
    if token is not None and file is not None:
        raise ConfigError("the page has two tokens, page_token and page_token_file: give one of them")
    if file is not None:
        try:
            token = file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ConfigError(f"cannot read the page's token in {file}: {why}") from error
    if token is not None:
        return Door(token, hosts=hosts)
    bound = str(listener.getsockname()[0])
    if not ipaddress.ip_address(bound.partition("%")[0]).is_loopback:
        raise ConfigError(
            f"the page would be open to the network at {bound}: give it a token (page_token_file or page_token), "
            "or serve it on 127.0.0.1"
        )
    return Door(secrets.token_urlsafe(24), hosts=hosts, made=True)


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
