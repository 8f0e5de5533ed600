"""The Procfile's processes through the front door, with the echo engine."""

import json
import os
import selectors
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis
from sqlalchemy import Engine

from api.operation_schemas import ModelList, QueueList, WorkerAnswer, WorkerList
from api.schemas import ErrorAnswer, JobAnswer, JobList, ReadyAnswer
from bells.celery_app import RUN, make_app, queue_name
from bells.hints import CANCELLED, DISPATCHER, FINISHED
from jobs.database import open_engine
from jobs.settings import Settings
from jobs.states import State
from tests.conditions import eventually
from tests.invariants import check_all_ended, unfinished
from tests.stack import Stack

SLOTS = 8
SPEED = 100  # tokens, which are bytes, a second
CANARY = "CANARY-7731-ampersand"


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("stack"),
        database_url=module_database_url,
        redis_url=redis_url,
        LMAAS_DEVICE="cpu",  # or the worker imports torch to look for another
        LMAAS_ECHO_TOKENS_PER_S=str(SPEED),
        LMAAS_SLOTS=str(SLOTS),
    )
    started.command("models_store", "echo")
    started.command("models_store", "echo", "--name", "quiet")  # nobody hosts it
    started.start("web", "dispatcher", "worker")
    started.ready()
    yield started
    started.close()


@pytest.fixture(scope="module")
def settings(module_database_url: str, redis_url: str) -> Settings:
    given = {"DATABASE_URL": module_database_url, "REDIS_URL": redis_url}
    return Settings.model_validate(given)


@pytest.fixture(scope="module")
def engine(settings: Settings) -> Iterator[Engine]:
    engine = open_engine(settings, application="tests")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture(scope="module")
def celery(settings: Settings) -> Iterator[Celery]:
    app = make_app(settings)
    yield app
    app.close()


def submit(stack: Stack, prompt: str = "hello", *, wait: int = 0, **more: Any) -> JobAnswer:
    body = {"task": "generate", "model": "echo", "input": {"prompt": prompt}} | more
    body.setdefault("parameters", {"max_tokens": len(prompt.encode())})
    headers = {"Prefer": f"wait={wait}"} if wait else {}
    response = stack.http.post("/v1/jobs", json=body, headers=headers)
    assert response.status_code in (200, 202), response.text
    job = JobAnswer.model_validate_json(response.text)
    assert response.headers["Location"] == job.urls.self
    assert (response.status_code == 200) == (job.timings.finished_at is not None)
    return job


def get(stack: Stack, id: str, *, wait: float = 0) -> JobAnswer:
    response = stack.http.get(f"/v1/jobs/{id}", params={"wait": wait})
    assert response.status_code == 200
    return JobAnswer.model_validate_json(response.text)


def cancel(stack: Stack, id: str) -> JobAnswer:
    return JobAnswer.model_validate_json(stack.http.post(f"/v1/jobs/{id}/cancel").text)


def worker(stack: Stack) -> WorkerAnswer:
    [found] = WorkerList.model_validate_json(stack.http.get("/v1/workers").text).data
    return found


def said(job: JobAnswer) -> str:
    assert job.status == State.SUCCEEDED, job
    assert job.result is not None
    assert job.result.text is not None
    return job.result.text


def running(stack: Stack, id: str) -> JobAnswer:
    """Waits until a job decodes."""
    return eventually(
        lambda: job if (job := get(stack, id)).status == State.RUNNING else None, within_s=10
    )


def test_a_job_comes_back_with_its_text(stack: Stack) -> None:
    job = submit(stack, "grüße 😀\n", wait=20)
    assert said(job) == "grüße 😀\n"
    assert job.result is not None
    tokens = len("grüße 😀\n".encode())
    usage = job.result.usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (tokens, tokens)
    assert (job.result.finish_reason, job.attempt, job.model) == ("stop", 1, "echo@1")
    times = job.timings
    assert times.started_at and times.first_token_at and times.finished_at
    assert times.queued_at <= times.started_at <= times.first_token_at <= times.finished_at
    assert times.time_to_first_token_s is not None and times.time_to_first_token_s > 0
    assert times.inter_token_s is not None and times.inter_token_s > 0
    assert get(stack, job.id) == job


def test_a_chat_comes_back_in_the_models_own_template(stack: Stack) -> None:
    messages = [{"role": "user", "content": "hi"}]
    job = submit(stack, task="chat", input={"messages": messages}, parameters={}, wait=20)
    assert said(job).startswith("user: hi")


def test_a_completion_ends_at_its_length_or_before_a_stop_string(stack: Stack) -> None:
    short = submit(stack, "abcdef", parameters={"max_tokens": 3}, wait=20)
    stopped = submit(stack, "abcdef", parameters={"stop": ["ef", "d"]}, wait=20)
    assert (said(short), said(stopped)) == ("abc", "abc")
    assert short.result and short.result.finish_reason == "length"
    assert stopped.result and stopped.result.finish_reason == "stop"


def test_a_poll_that_waits_answers_when_the_job_ends(stack: Stack) -> None:
    id = submit(stack, "x" * SPEED).id
    began = time.monotonic()
    assert said(get(stack, id, wait=30)) == "x" * SPEED
    assert time.monotonic() - began < 10


def test_a_poll_answers_although_its_hints_are_lost(stack: Stack, redis: Redis) -> None:
    prompt = "y" * (3 * SPEED)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(submit, stack, prompt, wait=30)
        id = submit(stack, prompt).id
        second = pool.submit(get, stack, id, wait=30)
        running(stack, id)
        redis.flushall()
        redis.client_kill_filter(_type="pubsub")
        redis.client_kill_filter(_type="normal", skipme=True)
        assert [said(poll.result(timeout=20)) for poll in (first, second)] == [prompt] * 2


def test_lists_models_workers_queues_and_health_look_as_documented(stack: Stack) -> None:
    submit(stack, wait=20)
    page = JobList.model_validate_json(stack.http.get("/v1/jobs?limit=1").text)
    assert len(page.data) == 1
    assert page.data[0].result is None
    models = ModelList.model_validate_json(stack.http.get("/v1/models").text).data
    assert {model.id: model.workers for model in models} == {"echo@1": 1, "quiet@1": 0}
    found = worker(stack)
    assert (found.state, found.model, found.slots) == ("ready", "echo@1", SLOTS)
    QueueList.model_validate_json(stack.http.get("/v1/queues").text)
    ready = ReadyAnswer.model_validate_json(stack.http.get("/health/ready").text)
    assert ready.checks == {"database": "ok", "redis": "ok", "models": {"echo@1": 1}}


def test_metrics_count_requests_and_no_client_makes_up_a_label(stack: Stack) -> None:
    stack.http.request("MADEUP", "/v1/jobs")
    text = stack.http.get("/metrics").text
    assert 'lmaas_worker_slots{model="echo@1"' in text
    labels = 'model="echo@1",priority="normal"'
    for name in ("lmaas_time_to_first_token_seconds", "lmaas_inter_token_seconds"):
        assert float(text.partition(f"{name}_count{{{labels}}} ")[2].split()[0]) > 0
    assert 'lmaas_http_requests_total{method="POST",route="/v1/jobs",status="202"}' in text
    assert "MADEUP" not in text
    assert stack.http.get("/metrics", headers={"Authorization": ""}).status_code == 401


def test_bodies_in_chunks_are_read_and_bounded(stack: Stack) -> None:
    body = json.dumps({"task": "generate", "model": "echo", "input": {"prompt": "piece"}})
    headers = {"Content-Type": "application/json", "Prefer": "wait=20"}
    pieces = (character.encode() for character in body)
    response = stack.http.post("/v1/jobs", content=pieces, headers=headers)
    assert response.request.headers["Transfer-Encoding"] == "chunked"
    assert said(JobAnswer.model_validate_json(response.text)) == "piece"
    large = (b" " * 50_000 for _ in range(100))
    response = stack.http.post("/v1/jobs", content=large, headers=headers)
    assert response.status_code == 413
    assert ErrorAnswer.model_validate_json(response.text).error.code == "body_too_large"


def test_a_body_of_five_megabytes_is_413_and_the_next_request_works(stack: Stack) -> None:
    for _ in range(3):
        response = stack.http.post("/v1/jobs", content=b"x" * 5_000_000)
        assert response.status_code == 413
        assert ErrorAnswer.model_validate_json(response.text).error.code == "body_too_large"
    assert stack.http.get("/v1/jobs").status_code == 200


def waiting_polls(stack: Stack, id: str, count: int) -> list[socket.socket]:
    """That many clients, each asking to wait a minute."""
    request = (
        f"GET /v1/jobs/{id}?wait=60 HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
        f"Authorization: Bearer {stack.key}\r\n\r\n"
    )
    polls = []
    for _ in range(count):
        poll = socket.create_connection(("127.0.0.1", stack.port), timeout=20)
        poll.sendall(request.encode())
        polls.append(poll)
    return polls


def answered(polls: list[socket.socket]) -> list[socket.socket]:
    """Those with an answer to read."""
    with selectors.DefaultSelector() as selector:
        for poll in polls:
            selector.register(poll, selectors.EVENT_READ)
        return [
            key.fileobj for key, _ in selector.select(0) if isinstance(key.fileobj, socket.socket)
        ]


def status(poll: socket.socket) -> str:
    answer = b""
    while part := poll.recv(65_536):
        answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    return str(json.loads(body)["status"])


def test_300_waiting_polls_leave_the_front_door_open(stack: Stack) -> None:
    id = submit(stack, model="quiet").id
    polls = waiting_polls(stack, id, 300)
    try:
        # 256 may wait; those beyond are answered at once and ask again.
        early = eventually(lambda: got if len(got := answered(polls)) == 44 else None, within_s=20)
        assert {status(poll) for poll in early} == {"queued"}
        for path in ("/health/live", "/health/ready", f"/v1/jobs/{id}", f"/v1/jobs/{id}?wait=60"):
            response = stack.http.get(path, timeout=5)
            assert response.status_code == 200
        other = submit(stack).id
        eventually(lambda: get(stack, other).status == State.SUCCEEDED, within_s=10)
        assert cancel(stack, id).status == State.CANCELLED
        late = [poll for poll in polls if poll not in early]
        assert {status(poll) for poll in late} == {"cancelled"}
    finally:
        for poll in polls:
            poll.close()


def test_jobs_join_while_others_run(stack: Stack) -> None:
    long = submit(stack, "z" * (5 * SPEED)).id
    running(stack, long)
    assert said(submit(stack, "short", wait=20)) == "short"
    assert get(stack, long).status == State.RUNNING
    cancel(stack, long)
    assert get(stack, long, wait=20).status == State.CANCELLED


def test_a_cancelled_job_frees_its_slot_at_once_and_keeps_its_beginning(stack: Stack) -> None:
    prompt = "abcdefghij" * 200  # 20 seconds
    ids = [submit(stack, prompt).id for _ in range(SLOTS)]
    eventually(lambda: worker(stack).busy == SLOTS, within_s=10)
    waiting = submit(stack, "next").id
    eventually(lambda: get(stack, ids[0]).timings.started_at, within_s=10)
    assert get(stack, waiting, wait=0.5).status == State.QUEUED
    assert cancel(stack, ids[0]).cancel_requested
    assert said(get(stack, waiting, wait=5)) == "next"
    job = get(stack, ids[0])
    assert job.status == State.CANCELLED
    assert job.result is not None
    assert job.result.finish_reason == "cancelled"
    assert job.result.text is not None
    assert 0 < len(job.result.text) < len(prompt)
    assert prompt.startswith(job.result.text)
    assert job.result.usage.completion_tokens == len(job.result.text)
    for id in ids[1:]:
        cancel(stack, id)
    assert {get(stack, id, wait=20).status for id in ids[1:]} == {State.CANCELLED}


def test_three_hundred_jobs_from_eight_clients_all_come_back(stack: Stack) -> None:
    prompts = [f"job {number}" for number in range(300)]
    with ThreadPoolExecutor(8) as pool:
        ids = list(pool.map(lambda prompt: submit(stack, prompt).id, prompts))
        jobs = list(pool.map(lambda id: get(stack, id, wait=60), ids))
    assert [said(job) for job in jobs] == prompts
    assert {job.attempt for job in jobs} == {1}


def test_a_bell_that_was_heard_is_kept_nowhere(stack: Stack, redis: Redis) -> None:
    """kombu's table of those would ring them again, in an hour or with a broken
    connection, and costs each bell two more calls of Redis."""

    def recorded() -> int:
        calls: dict[str, dict[str, int]] = redis.info("commandstats")
        return sum(calls.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("zadd", "zrem"))

    before = recorded()
    long = submit(stack, "b" * (20 * SPEED)).id
    running(stack, long)
    cancel(stack, long)
    assert get(stack, long, wait=20).status == State.CANCELLED
    assert recorded() == before
    assert not redis.exists("unacked")


GARBAGE = [
    "",
    "junk",
    "{",
    "[]",
    "null",
    "{}",
    "\x00\xff",
    json.dumps({"body": "x", "properties": None, "headers": None}),
    json.dumps({"body": "!!", "headers": {}, "properties": {"delivery_tag": "1"}}),
    "[" * 100_000,
]


@pytest.mark.parametrize("junk", GARBAGE, ids=lambda junk: repr(junk[:20]))
def test_garbage_in_the_bell_queue_is_a_no_op(junk: str, stack: Stack, redis: Redis) -> None:
    before = worker(stack)
    queue = queue_name("echo", 1)
    redis.lpush(queue, junk)
    eventually(lambda: redis.llen(queue) == 0, within_s=10)
    assert said(submit(stack, wait=20)) == "hello"
    after = worker(stack)
    assert (after.id, after.pid) == (before.id, before.pid)


class Bomb:
    """What a pickle can do to who opens it: here it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_forged_bells_are_no_ops(
    stack: Stack, redis: Redis, celery: Celery, tmp_path: Path
) -> None:
    before = worker(stack)
    bomb = Bomb(tmp_path / "opened")
    queue = queue_name("echo", 1)
    nobody = "018f0000-0000-7000-8000-000000000000"
    forged: list[dict[str, Any]] = [
        {"args": [[nobody, "not an id", 5, None]]},
        {"args": [nobody]},
        {"args": [{"id": nobody}]},
        {"args": []},
        {"args": [[nobody], [nobody]]},
        {"kwargs": {"ids": [nobody]}},
        {"kwargs": {"command": "rm"}},
        {"args": [[nobody]], "serializer": "pickle"},
        {"args": [bomb], "serializer": "pickle"},
        {"args": [[nobody]], "countdown": 3_600},
    ]
    for message in forged:
        celery.send_task(RUN, queue=queue, retry=False, **message)
    celery.send_task("os.system", args=["true"], queue=queue, retry=False)
    eventually(lambda: redis.llen(queue) == 0, within_s=10)
    for _ in range(3):
        assert said(submit(stack, wait=20)) == "hello"
    after = worker(stack)
    assert (after.id, after.pid, after.busy) == (before.id, before.pid, 0)
    assert not bomb.folder.exists()


def test_garbage_among_the_hints_is_a_no_op(stack: Stack, redis: Redis) -> None:
    for junk in ("", "junk", "\x00", "018f", "x" * 100_000):
        redis.lpush(DISPATCHER, junk)
        redis.publish(FINISHED, junk)
        redis.publish(CANCELLED, junk)
    redis.publish(FINISHED, b"\xff\xfe")  # no UTF-8
    redis.publish(CANCELLED, b"\xff\xfe")
    redis.lpush(DISPATCHER, b"\xff\xfe")
    assert said(submit(stack, wait=20)) == "hello"
    redis.delete(DISPATCHER)
    redis.set(DISPATCHER, "a key of the wrong kind")
    try:
        assert said(submit(stack, wait=20)) == "hello"
    finally:
        redis.delete(DISPATCHER)
    long = submit(stack, "w" * (20 * SPEED)).id
    running(stack, long)
    began = time.monotonic()
    cancel(stack, long)
    assert get(stack, long, wait=20).status == State.CANCELLED
    assert time.monotonic() - began < 3


def everything_in(redis: Redis) -> str:
    """All that Redis holds now, whatever its type."""
    found = []
    for key in redis.scan_iter(count=1_000):
        found.append(key)
        kind = redis.type(key)
        if kind == "string":
            found.append(redis.get(key))
        elif kind == "list":
            found += redis.lrange(key, 0, -1)
        elif kind == "set":
            found += sorted(redis.smembers(key))
        elif kind == "zset":
            found.append(repr(redis.zrange(key, 0, -1, withscores=True)))
        elif kind == "hash":
            found.append(json.dumps(redis.hgetall(key)))
        elif kind == "stream":
            found.append(repr(redis.xrange(key)))
    return "\n".join(str(item) for item in found)


def test_no_prompt_and_no_output_is_in_redis_or_in_a_log(stack: Stack, redis: Redis) -> None:
    heard = []
    with redis.monitor() as monitor:  # type: ignore[no-untyped-call]
        stack.http.post("/v1/jobs", content=CANARY)  # bad input is told without it
        stack.http.post("/v1/jobs", json={"task": CANARY, "model": "echo", "input": {}})
        finished = submit(stack, CANARY, wait=20)
        metadata = {"note": CANARY}
        messages = [{"role": "user", "content": CANARY}]
        submit(stack, task="chat", input={"messages": messages}, metadata=metadata, parameters={})
        long = submit(stack, CANARY * 50).id
        running(stack, long)
        snapshot = everything_in(redis)
        cancel(stack, long)
        assert get(stack, long, wait=20).status == State.CANCELLED
        redis.publish("the.end", "of the test")
        for command in monitor.listen():
            heard.append(command["command"])
            if "the.end" in command["command"]:
                break
    assert said(finished) == CANARY
    assert any(finished.id in command for command in heard)  # ids do travel
    assert CANARY not in "\n".join(heard) + snapshot + everything_in(redis)
    for name in ("web", "dispatcher", "worker"):
        assert CANARY not in stack.log(name)


def test_at_the_end_all_is_at_rest(stack: Stack, engine: Engine, redis: Redis) -> None:
    eventually(lambda: unfinished(engine) == 0, within_s=20)
    ledger = check_all_ended(engine)
    assert len(ledger.jobs) > 300
    assert worker(stack).busy == 0
    stack.stop()
    for name in ("web", "dispatcher", "worker"):
        assert stack.key not in stack.log(name)
    for name in ("web", "dispatcher"):  # the worker tells of the forged messages
        assert "Traceback" not in stack.log(name)
