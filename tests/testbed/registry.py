"""A registry of one image on the loopback interface (OCI distribution-spec, pulling only), with TLS and a password on demand."""

import base64
import hashlib
import ssl
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    """Serves the blobs of an image, of which the last is its manifest, as `localhost:PORT/test/image:1`."""

    def __init__(
        self,
        blobs: Sequence[bytes],
        *,
        certificate: tuple[Path, Path] | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.asked: list[tuple[str, int]] = []
        """Paths that were asked for, with the status of the answer."""
        self._by_digest = {f"sha256:{hashlib.sha256(blob).hexdigest()}": blob for blob in blobs}
        self._manifest = blobs[-1]
        self._login = None if login is None else base64.b64encode(":".join(login).encode()).decode()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def image(self) -> str:
        """The whole name of the image."""
        return f"localhost:{self._server.server_port}/test/image:1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, path: str, authorization: str) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers for a path."""
        if self._login is not None and authorization != f"Basic {self._login}":
            return 401, b"{}", {"WWW-Authenticate": 'Basic realm="test"'}
        _, _, name = path.rpartition("/")
        if path in {"/v2/", "/v2"}:
            return 200, b"{}", {}
        blob = self._manifest if path == "/v2/test/image/manifests/1" else self._by_digest.get(name)
        if blob is None:
            return 404, b"{}", {}
        kind = MANIFEST if blob is self._manifest else "application/octet-stream"
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        return 200, blob, {"Content-Type": kind, "Docker-Content-Digest": digest}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body, headers = registry.answer(self.path, self.headers.get("Authorization", ""))
                registry.asked.append((self.path, status))
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - http.server's own way

            def log_message(self, *_: Any) -> None:
                pass

        return Handler
