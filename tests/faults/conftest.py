"""Trials as a fixture: `trial_factory(seed=3, version="2.10")`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.faults.trial import Trial
from tests.guards import needs_the_machine

TrialFactory = Callable[..., Trial]


@pytest.fixture
def trial_factory(tmp_path: Path) -> Iterator[TrialFactory]:
    """`trial_factory(seed=3, ...)`: a trial of this test's own, with everything up."""
    with ExitStack() as closing:

        def begin(**settings: Any) -> Trial:
            directory = tmp_path / f"trial{len(list(tmp_path.iterdir()))}"
            directory.mkdir()
            trial = Trial(directory, **settings)
            closing.callback(lambda: sys.stdout.write("".join(f"{violation}\n" for violation in trial.found)))
            with needs_the_machine():
                return closing.enter_context(trial)

        yield begin
