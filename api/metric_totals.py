"""Totals and states that /metrics reads from Postgres, beside the depths of queues."""

from collections.abc import Iterable, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from sqlalchemy import Engine

from jobs import counters, pauses, token_times
from jobs.outlook import components, crash_loops, predictions
from jobs.webhooks import retention

_TOTALS = {
    "cancelled": ("lmaas_jobs_cancelled", "Jobs that ended cancelled"),
    "expired": ("lmaas_jobs_expired", "Jobs whose time was over"),
    "failed": ("lmaas_jobs_failed", "Jobs that failed, dead letters among them"),
    "dead_letters": ("lmaas_dead_letters", "Jobs that failed as poisonous"),
    "crashes_charged": ("lmaas_crashes_charged", "Crashes charged to a job that was alone"),
    "reclaimed": ("lmaas_jobs_reclaimed", "Jobs taken back from workers that were lost"),
    "worker_deaths": ("lmaas_worker_deaths", "Workers that were seen dead"),
    "stale_writes": ("lmaas_stale_writes", "Results that came too late and were discarded"),
}
_WEBHOOK_TOTALS = {
    "webhooks_delivered": ("lmaas_webhooks_delivered", "Events that receivers took"),
    "webhook_attempts_failed": ("lmaas_webhook_attempts_failed", "Attempts to tell one in vain"),
    "webhooks_given_up": ("lmaas_webhooks_given_up", "Events that could not be told in their day"),
}
_TOKEN_TIMES = {
    token_times.FIRST: ("lmaas_time_to_first_token_seconds",
                        "From the acceptance of a job to its first token"),
    token_times.BETWEEN: ("lmaas_inter_token_seconds",
                          "Mean time of a job between its tokens after the first"),
}  # fmt: skip
_ENDLESS = "+Inf"


class Totals:
    """A collector for Prometheus; reads when it asks."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        yield from self._counters()
        yield from self._webhooks()
        yield from self._states()
        yield from self._estimates()
        yield from self._token_times()

    def _counters(self) -> Iterable[Metric]:
        found = counters.read(self._engine)
        for name, (metric, meaning) in _TOTALS.items():
            family = CounterMetricFamily(metric, meaning, labels=["model"])
            for (counted, model, version), value in sorted(found.items()):
                if counted == name:
                    family.add_metric([f"{model}@{version}"], value)
            yield family

    def _webhooks(self) -> Iterable[Metric]:
        found = counters.read(self._engine)
        for name, (metric, meaning) in _WEBHOOK_TOTALS.items():
            family = CounterMetricFamily(metric, meaning)
            family.add_metric([], found.get((name, "", 0), 0))
            yield family
        counts = retention.counts(self._engine)
        yield GaugeMetricFamily(
            "lmaas_webhooks_pending", "Events that are still to be told", counts.pending
        )
        yield GaugeMetricFamily(
            "lmaas_webhooks_disabled", "Webhooks that are sent nothing", counts.disabled
        )

    def _states(self) -> Iterable[Metric]:
        looping = GaugeMetricFamily(
            "lmaas_crash_loop", "1 while a model's workers die again and again", labels=["model"]
        )
        for crashes in crash_loops.read_all(self._engine):
            looping.add_metric([f"{crashes.model}@{crashes.version}"], crashes.looping)
        paused = GaugeMetricFamily("lmaas_paused", "1 while a model is paused", labels=["model"])
        for model, version in pauses.paused(self._engine):
            paused.add_metric([f"{model}@{version}"], 1)
        age = GaugeMetricFamily(
            "lmaas_component_age_seconds", "Since a part was last seen", labels=["component"]
        )
        failing = GaugeMetricFamily(
            "lmaas_chore_failures", "How often in a row a chore of a part failed, while it fails",
            labels=["component", "chore"],
        )  # fmt: skip
        for part in components.read(self._engine):
            age.add_metric([part.name], part.age_s)
            for chore in part.failing:
                failing.add_metric([part.name, chore.name], chore.times)
        return (looping, paused, age, failing)

    def _estimates(self) -> Iterable[Metric]:
        labels = ["model", "kind"]
        wrong = HistogramMetricFamily(
            "lmaas_estimate_error_seconds",
            "How far `explain` was off: predicted start or finish against what came",
            labels=labels,
        )
        inside = CounterMetricFamily(
            "lmaas_estimates_inside", "Predictions whose interval held the truth", labels=labels
        )
        series: dict[tuple[str, str], list[predictions.Errors]] = {}
        for row in predictions.errors(self._engine):
            series.setdefault((f"{row.model}@{row.version}", row.kind), []).append(row)
        for key, found in series.items():
            counted = [(row.within_s, row.count) for row in found]
            buckets = _buckets(predictions.BOUNDS_S, counted)
            wrong.add_metric(key, buckets, sum_value=sum(row.error_s for row in found))
            inside.add_metric(key, sum(row.inside for row in found))
        return (wrong, inside)

    def _token_times(self) -> Iterable[Metric]:
        families = {
            kind: HistogramMetricFamily(*named, labels=["model", "priority"])
            for kind, named in _TOKEN_TIMES.items()
        }
        series: dict[tuple[str, str, str], list[token_times.TokenTimes]] = {}
        for row in token_times.totals(self._engine):
            key = (row.kind, f"{row.model}@{row.version}", row.priority)
            series.setdefault(key, []).append(row)
        for (kind, *labels), found in series.items():
            counted = [(row.within_s, row.jobs) for row in found]
            buckets = _buckets(token_times.BOUNDS_S, counted)
            families[kind].add_metric(labels, buckets, sum(row.took_s for row in found))
        return families.values()


def _buckets(
    bounds: Sequence[float], counted: Sequence[tuple[float, int]]
) -> list[tuple[str, int]]:
    """A histogram's, of what was counted under each bound; the last has no end."""
    return [
        (
            _ENDLESS if bound == bounds[-1] else str(bound),
            sum(count for within, count in counted if within <= bound),
        )
        for bound in bounds
    ]
