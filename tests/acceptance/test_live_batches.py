"""Batches while they run, on the real stack: results and events exactly once, and every verb."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmaas import Client, RequestRefused
from lmaas.batch_answers import Batch, Progress
from tests.conditions import ROOT, eventually
from tests.stack import Stack

CHAT = "/v1/chat/completions"
SLOW: dict[str, Any] = {"max_tokens": 200}
LONG = "question " * 25  # about two seconds on this engine, which repeats it


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, module_database_url: str, redis_url: str
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("live")
    running = Stack(folder, database_url=module_database_url, redis_url=redis_url,
                    LMAAS_ECHO_TOKENS_PER_S="100", LMAAS_RESTART_PAUSE_S="0.1",
                    LMAAS_SLOTS="8", LMAAS_MAX_WAITERS="8")  # fmt: skip
    running.command("models_store", "echo", "--name", "echo")
    running.start("web", "dispatcher", "housekeeper", "worker")
    running.ready()
    yield running
    running.close()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[Client]:
    with Client(str(stack.http.base_url), stack.key) as opened:
        yield opened


def line(id: str, text: str = "a few words", /, **fields: Any) -> dict[str, Any]:
    body = {"model": "echo", "messages": [{"role": "user", "content": text}], "max_tokens": 8}
    return {"custom_id": id, "body": {**body, **fields}}


def many(count: int, **fields: Any) -> list[dict[str, Any]]:
    return [line(f"n{number}", f"question {number}", **fields) for number in range(count)]


def refused(call: Any, *arguments: Any, **named: Any) -> tuple[int, str]:
    with pytest.raises(RequestRefused) as error:
        call(*arguments, **named)
    assert len(error.value.message) > 20
    return error.value.status, error.value.code


def ids(lines: list[Any]) -> list[str]:
    return [one.custom_id for one in lines]


def test_results_and_events_are_each_told_once_though_workers_are_killed(
    stack: Stack, client: Client
) -> None:
    made = client.batches.create(many(120, max_tokens=30), endpoint=CHAT)
    told: list[Any] = []
    watching = threading.Thread(target=lambda: told.extend(client.batches.events(made)))
    watching.start()
    results = []
    for number, result in enumerate(client.batches.results(made, page=7)):
        results.append(result)
        if number in (10, 60):
            _kill_the_worker(stack)
    watching.join(timeout=30)
    assert ids(results) == [f"n{number}" for number in range(120)]
    assert [result.line for result in results] == list(range(1, 121))
    assert all(result.ok and result.text for result in results)
    lines = [data for _, data in told if not isinstance(data, Progress)]
    assert sorted(one["line"] for one in lines) == list(range(1, 121))
    assert {one["status"] for one in lines} == {"succeeded"}
    last = told[-1][1]
    assert isinstance(last, Progress)
    assert (last.status, last.counts.completed, last.counts.failed) == ("completed", 120, 0)


def test_separators_of_unicode_tear_no_line_and_no_event_apart(
    stack: Stack, client: Client, tmp_path: Path
) -> None:
    good, bad, text = "a\u2028b\x85c", "d\u2029e", "one\u2028two\u2029three\x85four"
    lines = [line(good, text, max_tokens=60), line(bad, model="nobody")]
    made = client.batches.create(lines, endpoint=CHAT)
    told = [data for _, data in client.batches.events(made) if not isinstance(data, Progress)]
    assert {one["custom_id"] for one in told} == {good, bad}
    ended = client.batches.get(made)
    for file_id, named in ((ended.output_file_id, good), (ended.error_file_id, bad)):
        client.files.get(str(file_id), tmp_path / "file.jsonl")
        [one] = (tmp_path / "file.jsonl").read_text(encoding="utf-8").splitlines()
        assert json.loads(one)["custom_id"] == named
    job = client.submit(prompt=text, model="echo")
    with stack.http.stream("GET", f"/v1/jobs/{job.id}/events") as events:
        shown = events.read().decode().splitlines()
    assert all(one.startswith(("id: ", "event: ", "data: {", ": ")) for one in shown if one)
    assert json.loads(shown[-2].removeprefix("data: "))["result"]["text"] == text


def _kill_the_worker(stack: Stack) -> None:
    """SIGKILL, and waits until the next one works."""

    def pids() -> list[int]:
        return [worker["pid"] for worker in stack.http.get("/v1/workers").json()["data"]
                if worker["state"] == "ready"]  # fmt: skip

    [pid] = eventually(pids)
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: pids() and pid not in pids(), what="another worker")


def test_a_reader_of_events_that_comes_back_misses_nothing_and_hears_nothing_twice(
    client: Client,
) -> None:
    made = client.batches.create(many(40, max_tokens=20), endpoint=CHAT)
    first, place = [], ""
    for told, data in client.batches.events(made):
        place = told
        if not isinstance(data, Progress):
            first.append(data["line"])
        if len(first) == 9:
            break
    rest = [
        data["line"]
        for _, data in client.batches.events(made, last_event_id=place)
        if not isinstance(data, Progress)
    ]
    assert sorted(first + rest) == list(range(1, 41))
    assert [data for _, data in client.batches.events(made)][-1] == Progress(
        "completed", client.batches.get(made).counts
    )


def test_there_is_room_for_so_many_streams_and_polls_and_no_more(
    stack: Stack, client: Client
) -> None:
    made = client.batches.create(many(8, max_tokens=300), endpoint=CHAT)
    url, streams = f"/v1/batches/{made.id}/events", []
    try:
        for _ in range(8):
            stream = stack.http.stream("GET", url)
            assert stream.__enter__().status_code == 200
            streams.append(stream)
        answer = stack.http.get(url)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_waiters")
        assert answer.headers["Retry-After"]
    finally:
        for stream in streams:
            stream.__exit__(None, None, None)
    client.batches.cancel(made)
    eventually(lambda: stack.http.stream("GET", url).__enter__().status_code == 200)


def test_a_paused_batch_begins_nothing_until_it_is_resumed(stack: Stack, client: Client) -> None:
    lines = [line(f"n{number}", "some words " * 6, max_tokens=60) for number in range(60)]
    made = client.batches.create(lines, endpoint=CHAT)
    eventually(lambda: client.batches.get(made).counts.completed > 2)
    assert client.batches.pause(made).paused

    def reasons() -> list[Any]:
        """Why each job that has not ended waits or runs."""
        query: dict[str, str | int] = {"batch": made.id, "limit": 100}
        jobs = stack.http.get("/v1/jobs", params=query).json()["data"]
        open_ = [job["id"] for job in jobs if job["status"] != "succeeded"]
        return [stack.http.get(f"/v1/jobs/{id}/explain").json()["reasons"][0] for id in open_]

    # What was let through before runs and ends; then all the others wait for one reason.
    eventually(lambda: {reason["code"] for reason in reasons()} == {"paused"})
    assert len(reasons()) > 10
    assert all("batch" in reason["message"] for reason in reasons())
    before = client.batches.get(made).counts
    assert client.batches.pause(made).paused  # again: nothing changes
    assert client.batches.get(made).counts == before
    assert not client.batches.resume(made).paused
    done = client.batches.wait(made, 30)
    assert (done.counts.completed, done.counts.failed) == (60, 0)
    assert refused(client.batches.pause, made) == (409, "batch_state_conflict")


def test_waiting_lines_move_to_another_class(stack: Stack, client: Client) -> None:
    lines = [line(f"n{number}", LONG, **SLOW) for number in range(30)]
    made = client.batches.create(lines, endpoint=CHAT)
    eventually(lambda: client.batches.get(made).counts.total == 30)
    assert client.batches.prioritize(made, "interactive").priority == "interactive"

    def classes() -> list[str]:
        query: dict[str, str | int] = {"batch": made.id, "limit": 100, "status": "queued"}
        jobs = stack.http.get("/v1/jobs", params=query).json()["data"]
        return [job["priority"] for job in jobs]

    # What was let through before keeps its class: twice the slots at most.
    eventually(lambda: len(classes()) > 0 and classes().count("batch") <= 16)
    assert "interactive" in classes()
    client.batches.cancel(made)
    assert client.batches.wait(made, 20).status == "cancelled"
    assert refused(client.batches.prioritize, made, "normal") == (409, "batch_state_conflict")
    assert refused(client.batches.prioritize, made, "urgent")[0] == 400


def test_one_line_is_cancelled_by_its_id_or_its_number_and_the_others_go_on(
    client: Client,
) -> None:
    lines = [line("a/b 1", LONG, **SLOW), line("2", LONG, **SLOW), *many(6)]
    made = client.batches.create(lines, endpoint=CHAT)
    eventually(lambda: client.batches.get(made).counts.total == 8)
    assert eventually(lambda: _cancelled(client, made, "a/b 1"))
    client.batches.cancel_line(made, 2)
    assert refused(client.batches.cancel_line, made, "nobody") == (404, "line_not_found")
    assert refused(client.batches.cancel_line, made, 99) == (404, "line_not_found")
    states = {one.custom_id: one.status for one in client.batches.results(made)}
    assert states == {"a/b 1": "cancelled", "2": "cancelled"} | {
        f"n{n}": "succeeded" for n in range(6)
    }


def _cancelled(client: Client, made: Batch, id: str) -> bool:
    try:
        client.batches.cancel_line(made, id)
    except RequestRefused as error:
        return error.code != "line_not_found"
    return True


def test_lines_are_appended_to_an_open_batch_each_id_once(client: Client) -> None:
    made = client.batches.create(endpoint=CHAT, open=True, metadata={"kind": "open"})
    assert (made.status, made.open, made.counts.total) == ("in_progress", True, 0)
    client.batches.append(made, many(5))
    again = client.batches.append(made, [*many(7), line("bad", n=99)])
    assert again.counts.total == 8
    results = client.batches.results(made)
    assert ids([next(results) for _ in range(7)]) == [f"n{number}" for number in range(7)]
    assert not client.batches.get(made).ended  # it may still get lines
    closed = client.batches.close(made)
    assert not closed.open
    assert client.batches.close(made).open is False  # again: nothing changes
    assert refused(client.batches.append, made, many(1)) == (409, "batch_closed")
    done = client.batches.wait(made, 20)
    assert (done.status, done.counts.completed, done.counts.failed) == ("completed", 7, 1)
    [last] = list(results)
    assert (last.custom_id, last.status) == ("bad", "refused")
    assert refused(client.batches.close, made) == (409, "batch_state_conflict")


def test_what_is_no_line_is_refused_and_nothing_of_it_is_taken(
    stack: Stack, client: Client
) -> None:
    made = client.batches.create(endpoint=CHAT, open=True)
    url = f"/v1/batches/{made.id}/lines"
    whole = json.dumps({"method": "POST", "url": CHAT, **line("a")})
    for bad in ("", "\n\n", "{", f"{whole}\n{{}}", f"{whole}\n{whole}", '{"custom_id": 7}'):
        answer = stack.http.post(url, content=bad)
        assert answer.status_code == 400, (bad, answer.text)
    assert stack.http.post(url, content="x\n" * 1_001).status_code == 400
    assert client.batches.get(made).counts.total == 0
    client.batches.close(made)
    assert client.batches.wait(made, 20).status == "completed"


def test_equal_lines_run_once_and_each_has_its_own_answer(stack: Stack, client: Client) -> None:
    sampled = line("warm", "the same", temperature=0.7)
    lines = [
        *(line(f"s{n}", "the same", temperature=0) for n in range(20)),
        sampled, sampled | {"custom_id": "warm2"}, line("else", "another", temperature=0),
    ]  # fmt: skip
    made = client.batches.create(lines, endpoint=CHAT, dedupe=True)
    results = list(client.batches.results(made))
    assert ids(results) == ids_of(lines)
    assert len({result.raw["id"] for result in results}) == 23
    assert len({result.text for result in results[:20]}) == 1
    jobs = stack.http.get("/v1/jobs", params={"batch": made.id, "limit": 100}).json()["data"]
    assert len(jobs) == 4
    told = [d["line"] for _, d in client.batches.events(made) if not isinstance(d, Progress)]
    assert sorted(told) == list(range(1, 24))
    done = client.batches.wait(made, 10)
    assert (done.counts.total, done.counts.completed) == (23, 23)


def ids_of(lines: list[dict[str, Any]]) -> list[str]:
    return [str(one["custom_id"]) for one in lines]


def test_failed_lines_run_again_as_a_new_batch_of_new_jobs(client: Client) -> None:
    lines = [*many(3), line("wrong", model="nobody"), line("long", max_tokens=10_000_000), *(
        line(f"m{n}") for n in range(2))]  # fmt: skip
    first = client.batches.create(lines, endpoint=CHAT)
    assert refused(client.batches.retry, first)[0] == 409
    done = client.batches.wait(first, 20)
    assert (done.counts.completed, done.counts.failed) == (5, 2)
    one = client.batches.retry(first, codes=["model_not_found"], model="echo", idempotency_key="k1")
    assert one.id == client.batches.retry(
        first, codes=["model_not_found"], model="echo", idempotency_key="k1"
    ).id  # fmt: skip
    assert one.retry_of == first.id
    assert [(r.custom_id, r.ok) for r in client.batches.results(one)] == [("wrong", True)]
    both = client.batches.retry(first, body={"model": "echo", "max_tokens": 4})
    assert [(r.custom_id, r.ok) for r in client.batches.results(both)] == [
        ("wrong", True), ("long", True),
    ]  # fmt: skip
    assert refused(client.batches.retry, client.batches.wait(both, 10)) == (
        409, "batch_state_conflict",
    )  # fmt: skip
    assert refused(client.batches.retry, first, codes=["poisonous"])[0] == 409


def test_appended_lines_can_be_run_again_too(client: Client) -> None:
    made = client.batches.create([line("file", model="nobody")], endpoint=CHAT, open=True)
    eventually(lambda: client.batches.get(made).counts.total == 1 and _appended(client, made))
    client.batches.close(made)
    client.batches.wait(made, 20)
    again = client.batches.retry(made, model="echo")
    assert [(r.custom_id, r.ok) for r in client.batches.results(again)] == [
        ("file", True), ("late", True),
    ]  # fmt: skip


def _appended(client: Client, made: Batch) -> bool:
    try:
        return client.batches.append(made, [line("late", model="nobody")]).counts.total == 2
    except RequestRefused as error:
        return error.code != "batch_closed"


def test_a_dry_run_says_what_would_be_and_runs_nothing(stack: Stack, client: Client) -> None:
    lines = [*many(10), line("bad", model="nobody"), line("n1", "twice")]
    made = client.batches.create(lines, endpoint=CHAT, dry_run=True, dedupe=True)
    assert made.status == "validating"
    done = client.batches.wait(made, 20)
    report = done.report
    assert report is not None
    assert (done.status, report["lines"], report["refused"], report["jobs"]) == (
        "completed", 12, 2, 10,
    )  # fmt: skip
    assert report["max_tokens"] == 80
    assert report["prompt_tokens"] > 20
    assert [(error["line"], error["code"]) for error in report["errors"]] == [
        (11, "model_not_found"), (12, "duplicate_custom_id"),
    ]  # fmt: skip
    [model] = report["models"]
    assert model["model"] == "echo@1"
    assert 0 <= model["earliest_s"] <= model["expected_s"] == report["predicted_s"]
    assert report["quota"] is None
    assert stack.http.get("/v1/jobs", params={"batch": made.id}).json()["data"] == []
    assert list(client.batches.results(made)) == []
    assert refused(client.batches.pause, made)[0] == 409
    assert refused(client.batches.retry, made)[0] == 409


def test_somebody_elses_batch_is_not_there(stack: Stack, client: Client) -> None:
    made = client.batches.create(endpoint=CHAT, open=True)
    secret = stack.command("api.bootstrap", "--tenant", "other").strip()
    with Client(str(stack.http.base_url), secret) as other:
        calls: list[Any] = [
            other.batches.get, other.batches.cancel, other.batches.pause, other.batches.resume,
            other.batches.close, other.batches.retry,
            lambda id: other.batches.prioritize(id, "normal"),
            lambda id: other.batches.append(id, many(1)),
            lambda id: other.batches.cancel_line(id, "n0"),
            lambda id: list(other.batches.results(id)), lambda id: list(other.batches.events(id)),
        ]  # fmt: skip
        for call in calls:
            assert refused(call, made.id) == (404, "batch_not_found")
            assert refused(call, "batch_" + "0" * 32) == (404, "batch_not_found")
        assert list(other.batches.ls()) == []
    client.batches.cancel(made)


@pytest.mark.parametrize("place", ["x", "1", "1.2.3", "-1.0", "9" * 30 + ".1"])
def test_a_place_that_was_never_told_is_refused(stack: Stack, client: Client, place: str) -> None:
    made = client.batches.create(endpoint=CHAT, open=True)
    answer = stack.http.get(f"/v1/batches/{made.id}/events", headers={"Last-Event-ID": place})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Last-Event-ID")
    client.batches.cancel(made)


def test_the_same_file_and_key_make_one_file_and_one_batch(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"method": "POST", "url": CHAT, **one}) + "\n"
                            for one in many(3)))  # fmt: skip
    made = [client.batches.create(path, endpoint=CHAT, idempotency_key="once") for _ in range(2)]
    assert made[0].id == made[1].id
    assert made[0].input_file_id == made[1].input_file_id
    path.write_text(path.read_text().replace("question", "another"))
    assert refused(client.batches.create, path, endpoint=CHAT, idempotency_key="once") == (
        422, "idempotency_key_reused",
    )  # fmt: skip


# The command line, as a process.


@dataclass
class Done:
    code: int
    out: str
    err: str


class Shell:
    """Runs commands of a user who has the address and the key in the environment."""

    def __init__(self, stack: Stack) -> None:
        self.environment = {
            **os.environ, "LMAAS_URL": str(stack.http.base_url), "LMAAS_API_KEY": stack.key,
            "LMAAS_MODEL": "echo", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, *map(str, words)], env=self.environment, cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *words: str | Path) -> Done:
        process = self.start(*words)
        out, err = process.communicate(timeout=60)
        assert "Traceback" not in err, err
        return Done(process.returncode, out, err)

    def batch(self, *words: str | Path) -> Done:
        return self.run("-m", "lmaas.cli", "batch", *words)


@pytest.fixture(scope="module")
def shell(stack: Stack) -> Shell:
    return Shell(stack)


def rows_of(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(1_000_000)
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_goes_in_and_comes_out_with_its_results(
    shell: Shell, client: Client, tmp_path: Path
) -> None:
    table, out = tmp_path / "in.csv", tmp_path / "out.csv"
    table.write_text('key,q,model\na,"one, two",echo\nb,three,nobody\nc,four,echo\n')
    words = ("submit", table, "--prompt", "Say {q}!", "--map", "model=model", "--id", "key",
             "--max-tokens", "60", "--metadata", "kind=test")  # fmt: skip
    followed = shell.batch(*words, "--follow")
    id = followed.out.strip()
    assert followed.code == 1  # one line failed
    assert f"{id} completed" in followed.err and "lmaas batch retry" in followed.err
    again = shell.batch(*words)  # as after an interruption: no second batch
    assert (again.code, again.out.strip()) == (0, id)
    assert client.batches.get(id).metadata == {"kind": "test", "lmaas_id_column": "key"}
    joined = shell.batch("results", id, "--join", table, "-o", out)
    assert (joined.code, "3 rows, 1 failed" in joined.err) == (1, True)
    first, second, third = rows_of(out)
    assert (first["q"], first["result_status"]) == ("one, two", "succeeded")
    assert "Say one, two!" in first["result"]
    assert (second["result"], second["result_error"]) == ("", "model_not_found")
    assert int(third["result_completion_tokens"]) > 0
    retried = shell.batch("retry", id, "--model", "echo", "--follow")
    assert retried.code == 0
    both = shell.batch("results", id, retried.out.strip(), "--join", table, "-o", out, "--follow")
    assert both.code == 0
    assert "Say three!" in rows_of(out)[1]["result"]
    other = shell.batch("results", id, "--join", tmp_path / "none.csv", "-o", out)
    assert (other.code, "no file" in other.err) == (2, True)


def test_parquet_goes_in_and_comes_out(shell: Shell, tmp_path: Path) -> None:
    table, out = tmp_path / "in.parquet", tmp_path / "out.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), table)
    done = shell.batch("submit", table, "--map", "prompt=text", "--endpoint", "/v1/completions",
                       "--follow", "--json")  # fmt: skip
    made = json.loads(done.out)
    assert (done.code, made["status"], made["counts"]["completed"]) == (0, "completed", 2)
    assert shell.batch("results", made["id"], "--join", table, "-o", out).code == 0
    assert pq.read_table(out).select(["text", "n", "result"]).to_pylist() == [
        {"text": "a", "n": 1, "result": "a"}, {"text": "b", "n": 2, "result": "b"},
    ]  # fmt: skip


def test_ctrl_c_leaves_the_batch_running_and_says_how_to_go_on(
    stack: Stack, shell: Shell, client: Client, tmp_path: Path
) -> None:
    stack.command("models_store", "echo", "--name", "unhosted")  # the batch waits for that
    lines = [*many(60, max_tokens=50), line("n60", model="unhosted")]
    file = tmp_path / "lines.jsonl"
    file.write_text("".join(json.dumps({"method": "POST", "url": CHAT, **one}) + "\n"
                            for one in lines))  # fmt: skip
    submitting = shell.start("-m", "lmaas.cli", "batch", "submit", file, "--follow")
    assert submitting.stdout is not None and submitting.stderr is not None
    id = submitting.stdout.readline().strip()
    assert id in submitting.stderr.readline()  # the first line of progress
    submitting.send_signal(signal.SIGINT)
    _, err = submitting.communicate(timeout=20)
    assert submitting.returncode == 130
    assert f"lmaas batch follow {id}" in err
    assert client.batches.get(id).status in ("validating", "in_progress")
    eventually(lambda: client.batches.get(id).counts.total == 61)
    reading = shell.start("-m", "lmaas.cli", "batch", "results", id, "--follow")
    assert reading.stdout is not None
    first = [json.loads(reading.stdout.readline()) for _ in range(5)]
    reading.send_signal(signal.SIGINT)
    assert reading.stderr is not None
    first += [json.loads(line) for line in reading.stdout]
    err = reading.stderr.read()
    reading.wait(timeout=20)
    reading.stdout.close()
    reading.stderr.close()
    place = f"--after {first[-1]['line']}"
    assert reading.returncode == 130 and place in err
    client.batches.cancel_line(id, "n60")
    rest = shell.batch("results", id, "--follow", *place.split())
    told = first + [json.loads(line) for line in rest.out.splitlines()]
    assert [line["custom_id"] for line in told] == [f"n{n}" for n in range(61)]
    assert "60 of 61 lines have a result" in shell.batch("follow", id).err


def test_every_verb_of_the_command_line(shell: Shell, client: Client, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("prompt\nx\ny\n")
    long = [line(f"n{number}", "word " * 400, max_tokens=2_000) for number in range(2)]
    made = client.batches.create(long, endpoint=CHAT, open=True)
    other = client.batches.create(endpoint=CHAT, open=True)
    eventually(lambda: client.batches.get(made).counts.total == 2)
    shell_says = {
        ("pause", made.id): "paused", ("resume", made.id): "in_progress",
        ("priority", made.id, "normal"): "in_progress", ("append", made.id, file): "4: ",
        ("cancel", made.id, "--line", "n0"): "in_progress", ("close", other.id): other.id,
        ("show", made.id): "priority normal", ("ls",): made.id, ("cancel", made.id): "cancel",
    }  # fmt: skip
    for words, said in shell_says.items():
        done = shell.batch(*words)
        assert (done.code, said in done.out) == (0, True), (words, done)
    client.batches.wait(made, 20)
    wrong = shell.batch("pause", made.id)
    assert (wrong.code, "cannot be paused" in wrong.err) == (4, True)
    tried = shell.batch("submit", file, "--dry-run", "--dedupe")
    assert (tried.code, "refused" in tried.out, "would take" in tried.out) == (0, True, True)


def test_the_example_runs_a_table_through_a_model_and_retries_what_failed(
    shell: Shell, tmp_path: Path
) -> None:
    table, out = tmp_path / "reviews.csv", tmp_path / "answered.csv"
    table.write_text("text\ngood\nbad\n" + "y" * 400_001 + "\n")  # too long for the model
    done = shell.run("examples/batch_pipeline.py", table, out, "Is this kind? {text}")
    assert done.code == 0, done.err
    assert "1 lines failed and run again" in done.err
    assert [bool(row["answer"]) for row in rows_of(out)] == [True, True, False]
