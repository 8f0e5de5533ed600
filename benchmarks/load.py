"""Clients that keep a window of jobs in flight against one system, and count."""

import http.client
import json
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

_POLL_PAUSE_S = 0.005


class Target(Protocol):
    """How one system is spoken to."""

    port: int

    def submit(self, http: "Http", number: int) -> str:
        """Submits a job; returns its id."""

    def result(self, http: "Http", id: str, submitted: float) -> float:
        """Waits for the job's result; returns submit-to-start seconds."""


class Http:
    """One keep-alive connection."""

    def __init__(self, port: int, headers: dict[str, str]) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = headers

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; raises for anything but 2xx."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return json.loads(content)

    def close(self) -> None:
        """Ends the connection."""
        self._connection.close()


@dataclass(slots=True)
class Plain:
    """benchmarks.plain_app: polled until it is there."""

    port: int

    def submit(self, http: Http, number: int) -> str:
        """See `Target`."""
        id: str = http.call("POST", "/jobs", {"prompt": f"job number {number}"})["id"]
        return id

    def result(self, http: Http, id: str, submitted: float) -> float:
        """See `Target`."""
        while True:
            answer = http.call("GET", f"/jobs/{id}")
            if answer["status"] == "SUCCESS":
                return float(answer["result"]["started"]) - submitted
            time.sleep(_POLL_PAUSE_S)


@dataclass(slots=True)
class Lmaas:
    """LMaaS with its echo engine: one long poll."""

    port: int

    def submit(self, http: Http, number: int) -> str:
        """See `Target`."""
        body = {"task": "generate", "model": "echo", "input": {"prompt": f"job number {number}"}}
        id: str = http.call("POST", "/v1/jobs", body)["id"]
        return id

    def result(self, http: Http, id: str, submitted: float) -> float:
        """See `Target`."""
        while True:
            job = http.call("GET", f"/v1/jobs/{id}?wait=30")
            if job["status"] == "succeeded":
                return datetime.fromisoformat(job["timings"]["started_at"]).timestamp() - submitted
            if job["status"] != "queued" and job["status"] != "running":
                raise RuntimeError(f"job {id} is {job['status']}: {job['error']}")


@dataclass(slots=True)
class Tally:
    """What the clients of one run counted."""

    finished: int = 0
    submitted: int = 0
    submit_s: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


def steady(target: Target, headers: dict[str, str], *, clients: int, window: int,
           seconds: float) -> dict[str, float]:  # fmt: skip
    """Keeps `clients` x `window` jobs in flight; figures of the middle of the run."""
    tally = Tally()
    stop = time.monotonic() + seconds

    def client(number: int) -> None:
        http = Http(target.port, headers)
        flying: deque[tuple[str, float]] = deque()
        while time.monotonic() < stop or flying:
            if time.monotonic() < stop and len(flying) < window:
                flying.append((target.submit(http, number), time.time()))
                continue
            id, submitted = flying.popleft()
            latency = target.result(http, id, submitted)
            if time.monotonic() < stop:
                with tally.lock:
                    tally.finished += 1
                    tally.latencies_s.append(latency)
        http.close()

    _together(client, clients)
    return {"jobs_per_s": tally.finished / seconds} | _percentiles(tally.latencies_s)


def burst(target: Target, headers: dict[str, str], *, clients: int, jobs: int) -> dict[str, float]:
    """Submits all jobs as fast as it goes, then collects all results."""
    share = jobs // clients
    ids: list[list[tuple[str, float]]] = [[] for _ in range(clients)]

    def submit(number: int) -> None:
        http = Http(target.port, headers)
        for _ in range(share):
            ids[number].append((target.submit(http, number), time.time()))
        http.close()

    def collect(number: int) -> None:
        http = Http(target.port, headers)
        for id, submitted in ids[number]:
            target.result(http, id, submitted)
        http.close()

    began = time.monotonic()
    _together(submit, clients)
    submitted = time.monotonic()
    _together(collect, clients)
    ended = time.monotonic()
    return {
        "submits_per_s": share * clients / (submitted - began),
        "jobs_per_s": share * clients / (ended - began),
    }


def _together(work: Callable[[int], None], clients: int) -> None:
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError("a client failed; the run does not count") from failures[0]


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [float("nan")]
    return {
        "start_p50_ms": 1000 * ordered[len(ordered) // 2],
        "start_p99_ms": 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }
