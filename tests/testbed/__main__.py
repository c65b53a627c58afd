"""`python -m tests.testbed`: make the roots, or run a containerd to try things on.

python -m tests.testbed roots               make what is missing; the Makefile calls this
python -m tests.testbed up --containerd 2.1 run one until Ctrl-C; prints the socket's path
python -m tests.testbed clean               remove the roots of this and of earlier recipes
"""

import argparse
import os
import shutil
import signal
import sys

from tests.testbed import roots
from tests.testbed.containerd import Containerd
from tests.testbed.errors import DiedError, UnavailableError
from tests.testbed.image import BUSYBOX


def say(line: str) -> None:
    """One line about what is going on, at once."""
    sys.stdout.write(f"testbed: {line}\n")
    sys.stdout.flush()


def main(argv: list[str]) -> int:
    """Do what the command line says; the exit status is 1 where the machine cannot."""
    parser = argparse.ArgumentParser(prog="python -m tests.testbed", description="Private containerds for tests.")
    words = parser.add_subparsers(dest="word", required=True)
    words.add_parser("roots", help="make the Debian roots that are missing")
    words.add_parser("clean", help="remove every root")
    up = words.add_parser("up", help="run a containerd until this process ends")
    up.add_argument("--containerd", choices=roots.VERSIONS, default=roots.VERSIONS[-1], help="its generation")
    asked = parser.parse_args(argv)
    try:
        match asked.word:
            case "roots":
                roots.build(say)
            case "clean":
                shutil.rmtree(roots.cache() / "roots", ignore_errors=True)
            case "up":
                run(asked.containerd)
    except (UnavailableError, DiedError) as error:
        say(str(error))
        # Without the roots the other tests are still worth running; on a build machine that would hide the loss.
        return 0 if asked.word == "roots" and os.environ.get("CI") != "true" else 1
    return 0


def run(version: str) -> None:
    """Run a containerd until SIGINT or SIGTERM."""
    with Containerd(version) as host:
        # Blocked only now: what the host starts would inherit it and be deaf to SIGTERM.
        ending = {signal.SIGINT, signal.SIGTERM}
        signal.pthread_sigmask(signal.SIG_BLOCK, ending)
        host.namespace("default")
        say(f"containerd {version} at {host.address}; the image {BUSYBOX} is in namespace default")
        say(f"try: ctr --address {host.address} containers ls")
        signal.sigwait(ending)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
