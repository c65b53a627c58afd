"""A throw-away certificate authority, with a server and a client that it vouches for, for TLS on 127.0.0.1.

Made by openssl when it is needed: certificates that were committed would one day expire.
"""

import shutil
import subprocess
from pathlib import Path

from tests.testbed.errors import UnavailableError

DAYS = "2"


class Certificates:
    """PEM files in `directory`: `ca`, `server` and `server_key` (for 127.0.0.1 and localhost), `client` and `client_key`.

    Raises:
        UnavailableError: openssl is not installed.
    """

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            raise UnavailableError("openssl is not installed: `apt-get install openssl`")
        self.directory = directory
        self.ca, ca_key = self._issue("ca", "basicConstraints=critical,CA:TRUE")
        signed = ("-CA", str(self.ca), "-CAkey", str(ca_key))
        self.server, self.server_key = self._issue("server", "subjectAltName=IP:127.0.0.1,DNS:localhost", *signed)
        self.client, self.client_key = self._issue("client", "extendedKeyUsage=clientAuth", *signed)

    def nats_config(self, *, verify: bool = False) -> str:
        """The `tls` block of a nats-server; with `verify` it asks clients for a certificate of this authority."""
        return (
            f'tls {{ cert_file: "{self.server}", key_file: "{self.server_key}", '
            f'ca_file: "{self.ca}", verify: {str(verify).lower()} }}'
        )

    def _issue(self, name: str, extension: str, *signed: str) -> tuple[Path, Path]:
        certificate, key = self.directory / f"{name}.pem", self.directory / f"{name}.key"
        made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -batch"
        named = ("-subj", f"/CN=containerd-bridge test {name}", "-days", DAYS, "-addext", extension)
        command: list[str | Path] = [*made.split(), *named, "-keyout", key, "-out", certificate, *signed]
        subprocess.run(command, check=True, capture_output=True)
        return certificate, key
