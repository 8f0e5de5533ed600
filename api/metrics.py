"""/metrics for Prometheus: requests by all web processes, work from Postgres.

Labels are routes, methods, statuses and model versions; never a tenant's text.
"""

import time
from collections.abc import Iterable
from functools import cache

from flask import Response, g, request
from flask_openapi3.openapi import OpenAPI
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from api.metric_totals import Totals
from api.services import Services
from jobs import job_views, leases

REQUESTS = Counter("lmaas_http_requests_total", "HTTP requests", ["method", "route", "status"])
SECONDS = Histogram("lmaas_http_request_seconds", "Time to answer", ["method", "route"])

# Clients make up methods of their own; each would be a series for ever.
_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


@cache  # of routes, methods and statuses there are few
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, status), SECONDS.labels(method, route)


class Work:
    """Gauges that are read from Postgres when Prometheus asks."""

    def __init__(self, services: Services) -> None:
        self._engine = services.engine

    def collect(self) -> Iterable[Metric]:
        """Queues, workers and slots of each model version."""
        queued = GaugeMetricFamily("lmaas_jobs_queued", "Waiting jobs", labels=["model"])
        running = GaugeMetricFamily("lmaas_jobs_running", "Running jobs", labels=["model"])
        for depth in job_views.queue_depths(self._engine):
            label = [f"{depth.model}@{depth.version}"]
            queued.add_metric(label, depth.queued)
            running.add_metric(label, depth.running)
        labels = ["model", "worker", "state"]
        slots = GaugeMetricFamily("lmaas_worker_slots", "Slots of live workers", labels=labels)
        busy = GaugeMetricFamily("lmaas_worker_busy", "Jobs that workers hold", labels=labels)
        for live in leases.live_workers(self._engine):
            values = [f"{live.model}@{live.version}", str(live.id), live.state]
            slots.add_metric(values, live.slots)
            busy.add_metric(values, live.busy)
        return (queued, running, slots, busy)


def register(app: OpenAPI, services: Services) -> None:
    """Counts every request, and answers /metrics (with a key, like all else)."""

    @app.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @app.after_request
    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "(none)"
        method = request.method if request.method in _METHODS else "(other)"
        requests, seconds = _series(method, route, response.status_code)
        requests.inc()
        seconds.observe(time.perf_counter() - g.began)
        return response

    @app.get(
        "/metrics", summary="Metrics for Prometheus", security=[{"key": []}],
        responses={"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )  # fmt: skip
    def metrics() -> Response:
        registry = CollectorRegistry()
        registry.register(Work(services))
        registry.register(Totals(services.engine))
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
