"""What a page that no daemon serves says of itself to probes and to Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import GaugeMetricFamily, Metric

from bridge.page.application import Page

__all__ = ["Alone"]


class Alone:
    """Implements `bridge.health.Progress`."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def alive(self) -> str | None:
        """Return None: it reads again what it cannot read, and a restart would do no more."""
        return None

    def ready(self) -> str | None:
        """Return what cannot be read at present, while somebody looks."""
        return self._page.feed.trouble

    def metrics(self) -> Iterable[Metric]:
        """Return how many browsers look."""
        text = "Browsers that follow the page."
        yield GaugeMetricFamily("containerd_bridge_page_browsers", text, value=self._page.feed.viewers)
