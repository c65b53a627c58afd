"""The test suite. A package, so that a test can say `from tests.testbed import Containerd`."""
