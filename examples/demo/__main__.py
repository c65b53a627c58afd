"""`python -m examples.demo`: the demo from beginning to end, in about a minute. It leaves nothing behind.

Exit status 1, with a sentence, when anything that has to be seen was not.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from examples.demo import story
from examples.demo.bus import Bridge, NotSeenError, Witness
from examples.demo.host import NAMESPACE, CtrFailedError, UnavailableError, host
from examples.demo.stage import Stage
from tests.testbed import DiedError

NEXT = """\
containerd-bridge serve --nats embedded --commands all   on a host with containerd, as root
containerd-bridge events                                 what happens, as it happens
containerd-bridge events --since 1h --type oom --json    CloudEvents of the last hour, for programs
containerd-bridge history CONTAINER                      one container's life, also of one that is gone
containerd-bridge --help                                 and the rest"""


def main() -> int:
    """Play the demo and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pace", type=float, default=1.6, help="seconds to leave the audience (0 for programs)")
    stage = Stage(pace=parser.parse_args().pace)
    signal.signal(signal.SIGTERM, _leave)
    began = time.monotonic()
    try:
        play(stage)
    except KeyboardInterrupt:
        stage.say("interrupted; everything is cleaned up")
        return 130
    except (NotSeenError, CtrFailedError, UnavailableError, DiedError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    stage.heading(f"Everything was seen that had to be seen, in {time.monotonic() - began:.0f} s. What to type next:")
    stage.printed(NEXT)
    return 0


def play(stage: Stage) -> None:
    """Start everything, tell the story, end everything."""
    witness = Witness()
    with ExitStack() as closing:
        stage.say("Starting a containerd, and a bridge with a nats-server of its own.")
        place = closing.enter_context(host())
        state_dir = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="cb-demo-")))
        bridge = Bridge(state_dir, colours=stage.colours)
        stage.say(f"The containers run in {place.name}, namespace {NAMESPACE}.")
        options = ("--commands", "all", "--namespace", NAMESPACE)
        stage.typed(["containerd-bridge", "serve", "--nats", "embedded", *options], behind=" &")
        closing.enter_context(bridge.serving("--containerd", str(place.address), *place.options, *options))
        stage.typed(["containerd-bridge", "events", "--since", "1"], behind=" &")
        closing.enter_context(bridge.following(witness.take, "--since", "1", "--json"))
        closing.enter_context(bridge.following(stage.event, "--since", "1"))
        witness.until(None, "node.connected")
        story.tell(stage, place, bridge, witness)


def _leave(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
