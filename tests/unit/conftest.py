"""How long one example may take is no property of what is tested: a machine with other work would fail it."""

from hypothesis import settings

from tests.conftest import STEADY

settings.register_profile("bridge", deadline=None, max_examples=50, derandomize=STEADY)
settings.load_profile("bridge")
