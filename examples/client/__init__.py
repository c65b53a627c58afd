"""Small services on `bridge.client`, each of which does one whole thing; `tests/unit/test_examples.py` runs them."""
