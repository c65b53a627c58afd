"""The figures of the daemon's parts for Prometheus, and through `bridge.vitals` whether they make progress.

Everything here is read when it is asked for and waits for nothing. The names of the metrics are part of what operators rely on;
docs/operations.md lists them with what to do. Four should stay at zero: `anomalies`, `silent_divergences`,
`events_lost_from_log` and, once it runs, `gaps`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from bridge.capture.appends import LATENCY_S
from bridge.capture.projection import Projection
from bridge.control.migration.harbour import HarbourFigures
from bridge.control.parts import Control
from bridge.ports import StdioStatistics
from bridge.vitals import Vitals

__all__ = ["DaemonProgress"]

_PREFIX: Final = "containerd_bridge_"


@dataclass(frozen=True, kw_only=True)
class DaemonProgress:
    """Implements `bridge.health.Progress` for the daemon."""

    vitals: Vitals
    projection: Projection
    control: Control | None = None
    """The command path, where there is one."""
    about: Mapping[str, str] = field(default_factory=dict)
    """What the bridge is: labels of the metric `info`."""

    def alive(self) -> str | None:
        """Return None while there is no point in a restart, else which part has ended or hangs."""
        return self.vitals.alive()

    def ready(self) -> str | None:
        """Return None when events flow, else why they do not."""
        return self.vitals.ready()

    def metrics(self) -> Iterator[Metric]:
        """Iterate over the figures, as they are now."""
        yield InfoMetricFamily(_PREFIX.rstrip("_"), "What this bridge is.", value=dict(self.about))
        yield from self._source()
        yield from self._outbox()
        yield from self._log()
        yield from self._gap_repair()
        if self.control is not None:
            yield from self._commands(self.control)
            if self.control.sessions is not None:
                yield from _stdio(self.control.sessions.statistics())
            if self.control.harbour is not None:
                yield from _migrations(self.control.harbour.figures())

    # -- inside

    def _source(self) -> Iterable[Metric]:
        yield _gauge("live", "1 while the subscription to containerd is proven live.", self.vitals.feed.live.is_set())
        yield _gauge(
            "probe_round_trip_seconds",
            "The last probe's way through containerd.",
            (self.vitals.feed.probe_ns or 0) / 1e9,
        )
        yield _gauge("inbox_waiting", "Events read and not committed yet.", self.vitals.recorder.waiting)
        yield _counter("events_recorded", "Events committed to the outbox.", self.vitals.recorder.recorded)
        yield _counter(
            "anomalies", "Events that could not be true and were kept as anomalies.", self.vitals.recorder.anomalies
        )

    def _outbox(self) -> Iterable[Metric]:
        outbox = self.vitals.recorder.statistics()
        yield _gauge("outbox_accepts", "1 while events may be taken in.", self.vitals.recorder.refusal is None)
        yield _gauge(
            "outbox_unacknowledged", "Events that are not in the log yet: the lag.", self.vitals.delivery.behind
        )
        yield _gauge("outbox_rows", "Rows of up to 256 events that are not in the log yet.", outbox.waiting_rows)
        yield _gauge("outbox_bytes", "Bytes of events that are not in the log yet.", outbox.waiting_bytes)
        yield _gauge("outbox_max_bytes", "The limit of that.", outbox.max_bytes)
        yield _gauge("outbox_kept_bytes", "Bytes of events that are kept although the log has them.", outbox.kept_bytes)
        yield _gauge("outbox_file_bytes", "The outbox's file and its write-ahead log.", outbox.file_bytes)
        yield _gauge("outbox_free_disk_bytes", "Free space on its disk.", outbox.free_disk_bytes)
        yield _counter("outbox_commits", "Commits to the outbox.", outbox.commits)
        yield _counter("outbox_commit_seconds", "Time that they took together.", outbox.commit_seconds)

    def _log(self) -> Iterable[Metric]:
        delivery = self.vitals.delivery.statistics()
        yield _gauge("nats_connected", "1 while NATS is connected.", self.vitals.connected())
        yield _gauge("lease_held", "1 while the bridge holds its node's lease.", self.vitals.lease.held)
        yield _gauge(
            "outbox_oldest_seconds",
            "How long the oldest unacknowledged event has waited for the log.",
            delivery.oldest_s,
        )
        yield _histogram(
            "append_seconds", "From an append to its acknowledgement.", delivery.latency, delivery.append_seconds
        )
        yield _counter("events_appended", "Events that the log has taken.", delivery.appended)
        yield _counter("events_repeated", "Duplicates that the log recognised and refused.", delivery.repeated)
        yield _counter("events_replayed", "Events appended again after the log went back.", delivery.replayed)
        yield _counter("events_lost_from_log", "Events that a log that went back lost for good.", delivery.lost)
        yield _counters(
            "append_failures", "Appends that failed, by what was wrong.", "trouble", delivery.troubles.items()
        )
        yield _gauge("states_behind", "Containers whose state is not written to its key yet.", self.projection.behind)
        yield _counter("states_written", "States written to their keys.", self.projection.written)

    def _gap_repair(self) -> Iterable[Metric]:
        repair = self.vitals.repair.statistics()
        yield _counters(
            "gaps",
            "Times without a proven subscription, by cause.",
            "cause",
            self.vitals.feed.statistics().gaps.items(),
        )
        yield _gauge("repaired", "1 while no gap waits for its repair.", self.vitals.repair.pending is None)
        yield _counter("events_reconciled", "Events that were told from containerd's lists.", repair.told)
        yield _counter("ends_unknown", "Ends of tasks of which nobody knows how.", repair.lost)
        yield _counter(
            "silent_divergences", "Containers that differed while the subscription was live.", repair.divergences
        )
        yield _gauge("containers_unsettled", "Containers that never stood still in the last repair.", repair.unsettled)
        yield _gauge(
            "tasks_unanswered", "Tasks whose shim did not answer when they were last listed.", repair.unanswered
        )
        yield _counter("lists_failed", "Times that containerd did not list what there is.", repair.failures)
        yield _gauge("audited_timestamp_seconds", "When the log was last compared.", (repair.audited_at or 0) / 1e9)

    def _commands(self, control: Control) -> Iterable[Metric]:
        dispatcher, journal = control.dispatcher.statistics(), control.journal.statistics()
        outcomes = CounterMetricFamily(
            _PREFIX + "commands", "Commands that have ended, by verb and outcome.", labels=["verb", "outcome"]
        )
        for (verb, outcome), count in sorted(dispatcher.outcomes.items()):
            outcomes.add_metric([verb, outcome], float(count))
        yield outcomes
        yield _counters(
            "command_seconds", "Time from the receipt of commands to their ends.", "verb", dispatcher.seconds.items()
        )
        refused = control.ruling.policy.refusals
        yield _counters("commands_refused", "Commands that were refused, by what decided.", "rule", refused.items())
        current = control.ruling.file.refused is None
        yield _gauge("policy_current", "1 while the policy's file is the one in force.", current)
        yield _gauge("commands_under_way", "Changing commands that have no outcome yet.", dispatcher.under_way)
        exhausted = dispatcher.changing.exhausted + dispatcher.observing.exhausted
        yield _counter("commands_exhausted", "Commands that found no place in a queue.", exhausted)
        yield _gauge("journal_rows", "Commands that the journal remembers.", journal.rows)
        yield _counter("journal_commits", "Commits to the journal.", journal.commits)
        yield _counter("journal_commit_seconds", "Time that they took together.", journal.commit_seconds)
        jobs = control.worker.statistics()
        yield _gauge("jobs_held", "Jobs in the bridge: waiting for their turn or being carried out.", jobs.held)
        yield _counter("jobs_done", "Jobs that were taken out of their stream.", jobs.done)
        yield _counter("jobs_quarantined", "Jobs that were put aside.", jobs.quarantined)
        if jobs.backlog is not None:
            yield _gauge("jobs_waiting", "Jobs of this node in their stream, held ones too.", jobs.backlog.waiting)
            yield _gauge("jobs_in_quarantine", "Jobs that this node put aside, there now.", jobs.backlog.quarantined)
        yield _gauge("outcomes_behind", "Commands of which it is not told yet how they stand.", control.teller.behind)


def _stdio(sessions: StdioStatistics) -> Iterable[Metric]:
    yield _gauge("stdio_sessions", "Processes whose stdio is on the bus and that have not ended.", sessions.open)
    yield _gauge("stdio_waiting", "Outputs that wait until their owners have read more.", sessions.waiting)
    yield _gauge("stdio_spool_bytes", "Bytes of output that NATS has not acknowledged.", sessions.spooled)
    yield _counters("stdio_bytes", "Bytes that have come through, by line.", "line", sessions.passed.items())
    yield _counters(
        "stdio_truncated", "Outputs that may have had more than was stored, by why.", "why", sessions.truncated.items()
    )


def _migrations(figures: HarbourFigures) -> Iterable[Metric]:
    yield _gauge("migrations_leaving", "Containers that move away from this node now.", figures.leaving)
    yield _gauge("migrations_arriving", "Containers that are promised room on this node.", figures.arriving)
    yield _gauge(
        "migrations_undecided",
        "Containers that stand still because nobody can say whose they are.",
        figures.undecided,
    )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_PREFIX + name, text, value=float(value))


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(_PREFIX + name, text, value=float(value))


def _counters(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    family = CounterMetricFamily(_PREFIX + name, text, labels=[label])
    for word, value in sorted(values):
        family.add_metric([word], float(value))
    return family


def _histogram(name: str, text: str, counts: Iterable[int], seconds: float) -> Metric:
    total = 0
    buckets: list[tuple[str, float]] = []
    for limit, count in zip((*LATENCY_S, inf), counts, strict=True):
        total += count
        buckets.append(("+Inf" if limit == inf else f"{limit:g}", float(total)))
    return HistogramMetricFamily(_PREFIX + name, text, buckets=buckets, sum_value=seconds)
