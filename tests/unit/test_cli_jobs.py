"""The command line on jobs: what it prints, where, and how it exits."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from lmaas.cli import main
from lmaas.local import ports
from tests.conditions import ROOT
from tests.unit.scripted_server import (
    KEY,
    Answer,
    Request,
    ScriptedServer,
    job,
    refusal,
    running,
)


@dataclass
class Done:
    code: int
    out: str
    err: str


Lmaas = Callable[..., Done]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with running() as started:
        monkeypatch.setenv("LMAAS_URL", started.url)
        monkeypatch.setenv("LMAAS_API_KEY", KEY)
        monkeypatch.setenv("LMAAS_MODEL", "echo")
        yield started


@pytest.fixture
def lmaas(capsys: pytest.CaptureFixture[str]) -> Lmaas:
    def run(*words: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_submit_prints_the_id_alone(server: ScriptedServer, lmaas: Lmaas) -> None:
    done = lmaas("submit", "hi")
    assert (done.code, done.out) == (0, "job-0\n")
    assert server.requests[0].body["model"] == "echo"


def test_submit_and_wait_prints_the_text_alone(server: ScriptedServer, lmaas: Lmaas) -> None:
    assert lmaas("submit", "--wait", "hi").out == "HI\n"


def test_every_option_reaches_the_server(server: ScriptedServer, lmaas: Lmaas) -> None:
    words = "--system brief --max-tokens 9 --temperature 0.5 --top-p 0.9 --top-k 4 --seed 1"
    words += " --stop A --stop B --priority batch --metadata a=b=c --idempotency-key k -m other"
    words += " --webhook https://example.org/ends"
    assert lmaas("submit", *words.split(), "hi").code == 0
    sent = server.requests[0]
    assert sent.headers["idempotency-key"] == "k"
    assert sent.body == {
        "task": "chat",
        "model": "other",
        "input": {
            "messages": [
                {"role": "system", "content": "brief"},
                {"role": "user", "content": "hi"},
            ]
        },
        "parameters": {
            "max_tokens": 9,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 4,
            "seed": 1,
            "stop": ["A", "B"],
        },
        "priority": "batch",
        "metadata": {"a": "b=c"},
        "webhook": {"url": "https://example.org/ends"},
    }


@pytest.mark.parametrize("words", [("submit", "-"), ("submit",)])
def test_the_prompt_is_read_from_standard_input(
    server: ScriptedServer, lmaas: Lmaas, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    piped = io.TextIOWrapper(io.BytesIO("zwei\nZeilen ü\n".encode()))
    monkeypatch.setattr("sys.stdin", piped)
    lmaas(*words)
    assert server.requests[0].body["input"] == {"prompt": "zwei\nZeilen ü"}


def test_standard_input_that_is_no_text_is_wrong_usage(
    server: ScriptedServer, lmaas: Lmaas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    done = lmaas("submit", "-")
    assert done.code == 2
    assert "not UTF-8" in done.err
    assert server.requests == []


def test_a_failed_job_is_exit_1_and_a_sentence(server: ScriptedServer, lmaas: Lmaas) -> None:
    done = lmaas("submit", "--wait", "poison")
    assert (done.code, done.out) == (1, "")
    assert "it broke" in done.err


def test_a_job_that_ran_into_its_deadline_is_exit_1_with_its_text_and_the_reason(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    written = job("a")["result"] | {"finish_reason": "deadline"}
    server.jobs["a"] = job("a", "expired", result=written)
    done = lmaas("wait", "a")
    assert (done.code, done.out) == (1, "ready\n")
    assert "job a expired: its deadline came while it ran" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("dead", "replay", "--all", "a"), "one or the other, not both"),
        (("dead", "replay", "--dry-run", "a"), "name the jobs, or give --all"),
        (("dead", "replay"), "name the jobs, or give --all"),
        (("webhooks", "rotate", "--jobs", "a"), "not both"),
        (("webhooks", "replay", "a", "b", "--since", "1d"), "not both"),
    ],
)
def test_one_of_two_ways_is_asked_for_by_what_is_wrong(
    server: ScriptedServer, lmaas: Lmaas, words: tuple[str, ...], said: str
) -> None:
    done = lmaas(*words)
    assert done.code == 2
    assert said in done.err
    assert server.requests == []


def test_waiting_for_many_prints_all_and_tells_of_every_failure(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    for name, status in (("a", "succeeded"), ("b", "failed"), ("c", "cancelled")):
        server.jobs[name] = job(name, status)
    server.jobs["d"] = job("d")
    done = lmaas("wait", "a", "b", "c", "d")
    assert done.code == 1
    assert done.out == "ready\nready\n"
    assert "job b failed" in done.err
    assert "job c cancelled" in done.err


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (("cancel",), "a\tcancelled\nc\tcancelled\n"),
        (("cancel", "--json"), None),
        (("wait",), "ready\nready\n"),
        (("erase",), "a\terased\nc\terased\n"),
        (("files", "rm"), "a\terased\nc\terased\n"),
        (("dead", "replay"), "a\ta2\nc\tc2\n"),
        (("webhooks", "replay", "w"), "2 due again\n"),
    ],
)
def test_a_bad_id_keeps_no_other_from_its_turn(
    server: ScriptedServer, lmaas: Lmaas, words: tuple[str, ...], out: str | None
) -> None:
    for name in ("a", "c"):
        server.jobs[name] = job(name)
    server.decide = _knows_a_and_c
    done = lmaas(*words, "a", "b", "c", "x/y", "d")
    assert done.code == 4
    assert out in (done.out, None)
    assert [line.split(":")[0] for line in done.err.splitlines()] == ["lmaas"] * 3
    for id, line in zip(("b", "x/y", "d"), done.err.splitlines(), strict=True):
        assert id in line
    if out is None:
        assert [item["id"] for item in json.loads(done.out)] == ["a", "c"]


def _knows_a_and_c(request: Request) -> Answer | None:
    parts = request.path.split("/")
    id = parts[5] if parts[2] == "webhooks" else parts[3]
    if id not in ("a", "c"):
        return refusal(404, "not_found", "there is no such thing")
    if request.method == "DELETE":
        return Answer(200, {})
    if parts[2] == "webhooks":
        told = {"webhook": "w", "event": "e", "type": "job.succeeded", "subject": "s"}
        return Answer(200, {"id": id, "status": "pending", **told})
    return Answer(200, job(f"{id}2")) if parts[-1] == "replay" else None


def test_without_a_server_the_next_id_is_not_asked_for(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    server.jobs["a"] = job("a")
    server.script = [Answer(200, job("a", "cancelled")), refusal(500, "error", "no luck")]
    done = lmaas("cancel", "a", "b", "c")
    assert (done.code, done.out) == (3, "a\tcancelled\n")
    assert done.err == "lmaas: b: no luck\n"
    assert len(server.requests) == 2


def test_a_timeout_is_for_all_jobs_together_and_hides_none_that_ended(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    server.jobs |= {"a": job("a", "running"), "b": job("b")}
    done = lmaas("wait", "a", "b", "--timeout", "0.1")
    assert (done.code, done.out) == (6, "ready\n")
    assert "job a is still running" in done.err


def test_a_timeout_is_exit_6(server: ScriptedServer, lmaas: Lmaas) -> None:
    server.jobs["a"] = job("a", "running")
    assert lmaas("wait", "a", "--timeout", "0.1").code == 6


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "hi"),
        ("submit", "-w", "hi"),
        ("get", "a"),
        ("wait", "a"),
        ("ls",),
        ("cancel", "a"),
    ],
)
def test_json_is_one_value_on_standard_output(
    server: ScriptedServer, lmaas: Lmaas, words: tuple[str, ...]
) -> None:
    server.jobs["a"] = job("a")
    if words == ("ls",):
        server.script = [Answer(200, {"data": [job("a")], "next_cursor": None})]
    done = lmaas(*words, "--json")
    assert done.code == 0
    value = json.loads(done.out)
    first = value[0] if isinstance(value, list) else value
    assert first["status"] in ("queued", "succeeded", "cancelled")


def test_a_list_in_a_pipe_is_one_line_for_each_job(server: ScriptedServer, lmaas: Lmaas) -> None:
    page = {"data": [job("a"), job("b", "failed")], "next_cursor": "more"}
    server.script = [Answer(200, page)]
    lines = lmaas("ls", "-n", "2").out.splitlines()
    assert [line.split("\t")[:2] for line in lines] == [["a", "succeeded"], ["b", "failed"]]


def test_a_refusal_is_exit_4_with_the_servers_sentence(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    server.script = [refusal(404, "model_not_found", "there is no model 'x'")]
    done = lmaas("submit", "-m", "x", "hi")
    assert (done.code, done.err) == (4, "lmaas: there is no model 'x'\n")


@pytest.mark.parametrize(
    "words",
    [
        ("submit", "--metadata", "novalue", "hi"),
        ("submit", "--no-such-option", "hi"),
        ("get",),
        ("get", "../keys"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_2_and_sends_nothing(
    server: ScriptedServer, lmaas: Lmaas, words: tuple[str, ...]
) -> None:
    assert lmaas(*words).code == 2
    assert server.requests == []


def test_no_server_is_exit_3(lmaas: Lmaas, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmaas.client.Client.__init__.__kwdefaults__", {"patience_s": 0})
    done = lmaas("ls", "--url", f"http://127.0.0.1:{ports.choose()}")
    assert done.code == 3
    assert done.err.count("\n") == 1


def test_the_help_documents_the_exit_codes(lmaas: Lmaas) -> None:
    shown = lmaas("--help").out
    assert "3  no server answers" in shown
    for command in ("up", "down", "status", "submit", "demo", "models", "keys"):
        assert f"\n  {command} " in shown


def test_keys_are_created_listed_and_revoked(server: ScriptedServer, lmaas: Lmaas) -> None:
    key = {"id": "k1", "name": "ci", "prefix": "lm_a", "scopes": ["jobs"], "created_at": None}
    server.script = [
        Answer(201, {**key, "key": "secret"}),
        Answer(200, {"data": [key]}),
        Answer(200, key),
    ]
    assert lmaas("keys", "create", "ci", "--scope", "jobs").out == "secret\n"
    assert lmaas("keys", "ls").out.startswith("k1\tci\tlm_a...\tjobs\t")
    assert lmaas("keys", "revoke", "k1").out == "k1\trevoked\n"
    assert server.requests[0].body == {"name": "ci", "scopes": ["jobs"]}
    assert (server.requests[2].method, server.requests[2].path) == ("DELETE", "/v1/keys/k1")


def test_status_of_a_server_elsewhere_shows_what_it_says(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    model = {
        "id": "echo@1",
        "name": "echo",
        "version": 1,
        "engine": "echo",
        "context_length": 8192,
        "tasks": ["generate"],
        "aliases": [],
        "workers": 1,
    }
    worker = {
        "id": "w",
        "model": "echo@1",
        "state": "ready",
        "device": "cpu",
        "host": "h",
        "pid": 1,
        "slots": 8,
        "busy": 2,
    }
    queue = {"model": "echo@1", "queued": 3, "running": 2}
    part = {"name": "dispatcher", "seen_at": "2026-01-01T00:00:00Z", "age_s": 0.5, "missed": False}
    server.script = [Answer(200, {"data": [item]}) for item in (model, worker, queue, part)]
    done = lmaas("status")
    assert done.code == 0
    assert done.out.splitlines() == ["echo@1\t1\t3\t2\tok", "w\techo@1\tready\tcpu\t2/8"]


def test_a_job_is_shown_with_the_times_of_its_tokens(server: ScriptedServer, lmaas: Lmaas) -> None:
    ended = job("a")
    server.jobs["a"] = ended
    server.jobs["b"] = ended | {
        "timings": ended["timings"] | {"time_to_first_token_s": 1.25, "inter_token_s": 0.0123}
    }
    assert "took      2.0 s\n" in lmaas("get", "a").out
    assert "took      2.0 s, first token after 1.2 s, then 12.3 ms each\n" in lmaas("get", "b").out


@pytest.mark.parametrize(
    "words", [("batch", "results", "b"), ("get", "a"), ("ls", "--json"), ("files", "get", "f")]
)
def test_a_reader_that_has_enough_ends_a_command_quietly(
    server: ScriptedServer, words: tuple[str, ...]
) -> None:
    server.jobs["a"] = job("a")
    server.decide = _plenty
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lmaas.cli", *words], cwd=ROOT, timeout=60, check=False,
            stdout=writer, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def _plenty(request: Request) -> Answer | None:
    if request.path.endswith("/results"):
        return Answer(200, {"data": [{"line": 1}, {"line": 2}], "done": True})
    if request.path == "/v1/jobs":
        return Answer(200, {"data": [job("a")], "next_cursor": None})
    return Answer(200, b"bytes" * 99_999) if request.path.startswith("/v1/files") else None
