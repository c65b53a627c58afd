"""Reading a struct for the first time in several threads at once, which by msgspec's own way ends the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

RACE = """
import sys, threading
import msgspec
from bridge.model.kinds import convert, decoder

sys.setswitchinterval(1e-6)
for _ in range(300):
    part = msgspec.defstruct("Part", [(f"p{n}", dict[str, list[int]] | None, None) for n in range(20)])
    whole = msgspec.defstruct("Whole", [(f"w{n}", part | None, None) for n in range(20)])
    body = msgspec.json.encode({f"w{n}": {f"p{m}": {"a": [1]} for m in range(20)} for n in range(20)})
    told = threading.Barrier(4)

    def read(which):
        told.wait()
        read = convert(msgspec.json.decode(body), whole) if which % 2 else decoder(whole).decode(body)
        assert read.w19.p19 == {"a": [1]}

    threads = [threading.Thread(target=read, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print("read")
"""


def test_threads_may_read_a_struct_for_the_first_time_together() -> None:
    ended = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, timeout=200, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "read\n", "")


def test_what_is_no_such_thing_is_refused_as_ever() -> None:
    import msgspec

    from bridge.model.kinds import convert, decoder

    with pytest.raises(msgspec.ValidationError, match="Expected `int`, got `str`"):
        convert(["a"], list[int])
    with pytest.raises(msgspec.ValidationError, match="Expected `int`, got `str`"):
        decoder(list[int]).decode(b'["a"]')
    assert decoder(list[int]) is decoder(list[int])
