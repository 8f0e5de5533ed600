"""The OpenAPI document is true: whatever is asked, the answer is one that it tells of.

Requests are made of the document, by its rules and against them; some parts are put in
place of what was made up, so that they get past the router: a model that is there, jobs
that have ended, a task's own input. EXAMPLES and SEED ask for more (`make fuzz-api`).
"""

import io
import json
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks as openapi_checks

from api.openai import work
from tests.integration.front_door import GOOD, FrontDoor, front_door
from tests.integration.job_samples import release_all
from tests.integration.worker_bench import Bench
from workers.engines.echo import EchoEngine

EXAMPLES = int(os.environ.get("EXAMPLES", "4"))
SEED = int(os.environ.get("SEED", "20"))
CHECKS = [
    not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]
INPUTS: dict[str, dict[str, Any]] = {
    "generate": {"prompt": "hello"},
    "chat": {"messages": [{"role": "user", "content": "hello"}]},
    "embed": {"input": ["hello", [1, 2]]},
}


@schemathesis.serializer("application/jsonl")
def lines(_: Any, value: Any) -> bytes:
    """Texts as they are; whatever else is made up, as a line."""
    return value.encode() if isinstance(value, str) else json.dumps(value).encode() + b"\n"


@dataclass
class Known:
    """What is there and may be named in a request."""

    places: dict[str, list[str]]
    statuses: Counter[int] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)

    def put(self, case: Any, chance: random.Random) -> None:
        """Puts what is there into a request, three times out of four."""
        for name, values in self.places.items():
            if name in (case.path_parameters or {}) and chance.random() < 0.75:
                case.path_parameters[name] = chance.choice(values)
        body = case.body
        if isinstance(body, dict) and "model" in body and chance.random() < 0.75:
            body["model"] = "echo"
            if "task" in body:
                task = chance.choice(sorted(INPUTS))
                body |= {"task": task, "input": INPUTS[task]}
            for name in chance.sample(sorted(body), len(body) // 2):
                if name not in ("model", "task", "input", "messages", "prompt", "stream"):
                    del body[name]

    def check(self, case: Any, response: Any) -> None:
        self.statuses[response.status_code] += 1
        [kind] = response.headers.get("content-type", [""])
        for check in CHECKS:
            if (
                kind.startswith("text/event-stream")
                and check is openapi_checks.response_schema_conformance
            ):
                continue  # it holds each event against what is said of the whole stream
            try:
                case.validate_response(response, checks=[check])
            except (Failure, FailureGroup) as failure:
                found = getattr(failure, "exceptions", [failure])
                for one in found:
                    what = f"{case.operation.label}, {response.status_code}: {one.title}"
                    self.failures.setdefault(what, str(one)[:2_000])


@contextmanager
def worker(door: FrontDoor, folder: Any) -> Iterator[None]:
    """Runs jobs as they come, at once."""
    engine = EchoEngine(slots=64, tokens_per_s=0, folder=folder)
    bench = Bench(door.engine, door.services.settings, folder, load=lambda: engine, lease_s=3600)
    over = threading.Event()
    bench.handler.start(bench.server)

    def release() -> None:
        while not over.wait(0.01):
            if ids := release_all(door.manager):
                bench.handler.run(ids)

    thread = threading.Thread(target=release)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=20)
        bench.stop()


@pytest.fixture
def door(
    database_url: str, redis_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FrontDoor]:
    monkeypatch.setattr(work, "LONGEST_WAIT_S", 5.0)
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(metrics))
    with (
        front_door(tmp_path, database_url=database_url, redis_url=redis_url) as opened,
        worker(opened, tmp_path / "echo"),
    ):
        yield opened


def known(door: FrontDoor) -> Known:
    jobs = []
    for task, given_input in INPUTS.items():
        made = door.submit(GOOD | {"task": task, "input": given_input},
                           headers={"Prefer": "wait=10"})  # fmt: skip
        assert made.status_code == 200, made.text
        jobs.append(made.get_json()["id"])
    response = door.send("POST", "/v1/responses", json={"model": "echo", "input": "hello"})
    data = {"purpose": "batch", "file": (io.BytesIO(b"{}\n"), "lines.jsonl")}
    file = door.send("POST", "/v1/files", data=data)
    assert file.status_code == 200, file.text
    key = door.send("POST", "/v1/keys", json={"name": "some"}).get_json()["id"]
    # Whoever pauses a model pauses one that nobody runs.
    return Known(
        {
            "job_id": jobs,
            "response_id": [response.get_json()["id"]],
            "key_id": [key],
            "file_id": [file.get_json()["id"]],
            "reference": ["echo@1"],
        }
    )


# The checker reads the content of a file and does not close the answer, as servers do.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_answer_is_one_that_the_document_tells_of(door: FrontDoor) -> None:
    head = {"Authorization": f"Bearer {door.secret}"}
    document = schemathesis.openapi.from_wsgi("/openapi/openapi.json", door.app, headers=head)
    document.config.generation.update(with_security_parameters=False)
    there = known(door)
    found: list[Any] = list(document.get_all_operations())
    operations = [each.ok() for each in found]
    operations.sort(key=lambda operation: operation.method == "delete")
    for operation in operations:
        ask(operation, GenerationMode.POSITIVE, head, there)
        if operation.body or operation.query:  # any text may stand in a path
            ask(operation, GenerationMode.NEGATIVE, head, there)
        if operation.label.endswith("/pause"):
            door.send("POST", "/v1/models/echo@1/resume")
    print(f"{len(operations)} operations, {dict(there.statuses)}")
    assert there.statuses.total() >= len(operations) * EXAMPLES / 2
    assert not there.failures, "\n\n".join(f"{k}\n{v}" for k, v in there.failures.items())


def ask(operation: Any, mode: GenerationMode, head: dict[str, str], there: Known) -> None:
    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(mode), st.randoms(use_true_random=False))
    def run(case: Any, chance: random.Random) -> None:
        there.put(case, chance)
        there.check(case, case.call(headers=head))

    run()
