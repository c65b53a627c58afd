"""What can be wrong with a test host, by whose fault it is."""


class UnavailableError(Exception):
    """This machine cannot give the test host (no root, no network, not built yet); the message says what would."""


class DiedError(Exception):
    """A server of the test host ended or did not become ready; the message carries the end of its log."""
