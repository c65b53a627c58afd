"""One suite per port, run on what `bridge.testing` has in memory and on the real thing.

The docstrings in `bridge/ports/` are the contracts; these tests are their executable form. Where the two sides differ,
the real one is right.
"""
