"""`lmaas explain`, `dead`, `models pause`, `status` and refused deadlines: what people read."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lmaas import Client, DeadlineUnmeetable
from lmaas.cli import main
from lmaas.errors import BadUsage
from tests.unit.scripted_server import KEY, Answer, ScriptedServer, job, running

Lmaas = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with running() as started:
        monkeypatch.setenv("LMAAS_URL", started.url)
        monkeypatch.setenv("LMAAS_API_KEY", KEY)
        monkeypatch.setenv("LMAAS_MODEL", "echo")
        yield started


@pytest.fixture
def lmaas(capsys: pytest.CaptureFixture[str]) -> Lmaas:
    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def interval(*seconds: float | None, unknown: str | None = None) -> dict[str, Any]:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    times = [None if s is None else (now + timedelta(seconds=s)).isoformat() for s in seconds]
    return dict(zip(("earliest", "expected", "latest"), times, strict=True)) | {"unknown": unknown}


def explanation(**changes: Any) -> Answer:
    body = {
        "id": "job-1",
        "object": "explanation",
        "status": "queued",
        "model": "echo@1",
        "as_of": "2026-01-01T00:00:00Z",
        "position": {
            "ahead": 1_234, "more": False, "higher_priority": 1_000, "own": 4, "other_tenants": 230,
        },
        "start": interval(30, 60, 150),
        "finish": interval(31, 65, None),
        "reasons": [
            {"code": "tenant_share", "message": "others first"},
            {"code": "broker_down", "message": "Redis is away"},
        ],
    }  # fmt: skip
    return Answer(200, body | changes)


def test_a_waiting_job_is_explained_in_words(server: ScriptedServer, lmaas: Lmaas) -> None:
    server.script = [explanation()]
    code, out, _ = lmaas("explain", "job-1")
    ahead = "1,000 of higher priority, 4 of your own, 230 of other tenants"
    assert code == 0
    assert out.splitlines() == [
        "job-1 is queued on echo@1",
        "because   others first (tenant_share)",
        "also      Redis is away (broker_down)",
        f"ahead     about 1,234 jobs ({ahead})",
        "starts    in about 1 min 0 s (between 30.0 s and 2 min 30 s)",
        "ends      in about 1 min 5 s (between 31.0 s and no known end)",
    ]


def test_what_is_not_known_is_said(server: ScriptedServer, lmaas: Lmaas) -> None:
    nothing = interval(None, None, None, unknown="no_worker")
    position = {"ahead": 10_000, "more": True, "higher_priority": 0, "own": 10_000,
                "other_tenants": 0}  # fmt: skip
    server.script = [explanation(start=nothing, finish=nothing, position=position)]
    _, out, _ = lmaas("explain", "job-1")
    assert "starts    not known (no_worker)" in out
    assert "more than 10,000 jobs (10,000 of your own)" in out


def test_a_refused_deadline_names_the_time_that_works(server: ScriptedServer, lmaas: Lmaas) -> None:
    error = {"message": "too late", "type": "request_error", "code": "deadline_unmeetable",
             "param": "deadline", "earliest_finish": "2026-01-01T00:01:00Z"}  # fmt: skip
    server.decide = lambda _: Answer(409, {"error": error})
    with Client() as client, pytest.raises(DeadlineUnmeetable) as refused:
        client.submit(model="echo", prompt="hi", deadline=datetime.now(UTC), refuse_unmeetable=True)
    assert refused.value.earliest_finish == datetime(2026, 1, 1, 0, 1, tzinfo=UTC)
    assert server.requests[0].body["on_unmeetable"] == "refuse"
    code, _, err = lmaas("submit", "--deadline", "90s", "--refuse-unmeetable", "hi")
    assert (code, err) == (4, "lmaas: too late\n")
    sent = datetime.fromisoformat(server.requests[-1].body["deadline"])
    assert timedelta(seconds=80) < sent - datetime.now(UTC) <= timedelta(seconds=90)


def test_a_time_that_is_none_is_wrong_usage(server: ScriptedServer, lmaas: Lmaas) -> None:
    code, _, err = lmaas("submit", "--deadline", "soon", "hi")
    assert code == 2
    assert "'soon' is no time" in err
    with Client() as client, pytest.raises(BadUsage, match="time zone"):
        client.submit(model="echo", prompt="hi", deadline=datetime(2026, 1, 1))  # noqa: DTZ001
    with Client() as client, pytest.raises(BadUsage, match="colour"):
        list(client.jobs(colour="red"))
    assert server.requests == []


def test_filters_of_dead_letters_reach_the_server(server: ScriptedServer, lmaas: Lmaas) -> None:
    dead = job("job-9", "failed")
    server.script = [Answer(200, {"data": [dead], "next_cursor": None})]
    words = "--model echo@1 --error-code any --since 2h --until 2026-02-01T00:00:00Z --worker w1"
    code, out, _ = lmaas("dead", "ls", *words.split())
    assert (code, out.split("\t")[0]) == (0, "job-9")
    query = server.requests[0].query
    assert "error_code" not in query
    assert (query["status"], query["model"], query["worker"]) == ("failed", "echo@1", "w1")
    ago = datetime.now(UTC) - datetime.fromisoformat(query["ended_since"])
    assert timedelta(hours=1.9) < ago < timedelta(hours=2.1)
    assert datetime.fromisoformat(query["ended_until"]) == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_dry_run_says_which_and_a_replay_goes_on_until_none_is_left(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    def page(new_id: str | None, *, more: bool) -> Answer:
        return Answer(200, {"data": [{"id": "old", "new_id": new_id}], "more": more})

    server.script = [page(None, more=True)]
    assert lmaas("dead", "replay", "--all", "--dry-run") == (
        0,
        "old\n",
        "1 jobs would be replayed\n",
    )
    server.script = [page("new-1", more=True), page("new-2", more=False)]
    code, out, err = lmaas("dead", "replay", "--all")
    assert (code, out, err) == (0, "old\tnew-1\nold\tnew-2\n", "2 jobs replayed\n")
    bodies = [request.body for request in server.requests]
    assert [body["dry_run"] for body in bodies] == [True, False, False]
    assert bodies[0]["error_code"] == "poisonous"
    assert lmaas("dead", "replay", "--all", "job-1")[0] == 2
    assert lmaas("dead", "replay", "--dry-run", "job-1")[0] == 2


def test_pause_and_resume_name_the_version(server: ScriptedServer, lmaas: Lmaas) -> None:
    model = {"id": "echo@1", "name": "echo", "version": 1, "context_length": 8, "engine": "echo"}
    server.script = [Answer(200, model), Answer(200, model)]
    assert lmaas("models", "pause", "echo", "--reason", "heat")[1] == "echo@1 is paused\n"
    assert lmaas("models", "resume", "echo@1")[1] == "echo@1 goes on\n"
    first, second = server.requests
    assert (first.path, first.body) == ("/v1/models/echo/pause", {"reason": "heat"})
    assert second.path == "/v1/models/echo@1/resume"


def test_status_tells_what_stands_still(server: ScriptedServer, lmaas: Lmaas) -> None:
    model = {"id": "echo@1", "name": "echo", "version": 1, "context_length": 8, "engine": "echo",
             "workers": 0, "paused": {"since": "2026-01-01T00:00:00Z", "reason": "heat"},
             "crash_loop": {"deaths": 4, "last_at": "2026-01-01T00:00:00Z",
                            "exit_code": 70}}  # fmt: skip
    part = {"name": "dispatcher", "seen_at": "2026-01-01T00:00:00Z", "age_s": 40.0,
            "missed": True, "broker_ok": True}  # fmt: skip
    answers = {"/v1/models": [model], "/v1/components": [part]}
    server.decide = lambda request: Answer(200, {"data": answers.get(request.path, [])})
    code, out, _ = lmaas("status")
    assert code == 0
    assert "paused: heat; crash loop: 4 workers died within 10 minutes; no worker" in out
    assert "no dispatcher has been seen for 40.0 s" in out
    answers["/v1/components"] = [part | {"missed": False, "broker_ok": False}]
    assert "Redis does not answer; jobs run without it" in lmaas("status")[1]
    chore = {"name": "files", "times": 3, "error": "KeyError", "since": "2026-01-01T00:00:00Z"}
    answers["/v1/components"] = [part | {"name": "housekeeper", "failing": [chore]}]
    said = " ".join(lmaas("status")[1].split())
    assert "housekeeper: 'files' failed 3 times in a row (KeyError), first " in said
    answers["/v1/components"] = []
    assert "no dispatcher was ever seen" in lmaas("status")[1]
