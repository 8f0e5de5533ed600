"""`lmaas webhooks`: what it sends, what it prints, and what it never repeats."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lmaas import Client
from lmaas.cli import main
from lmaas.errors import BadUsage
from tests.unit.scripted_server import Answer, ScriptedServer, refusal

Lmaas = Callable[..., tuple[int, str, str]]
SECRET = "whsec_c2VjcmV0"


def webhook(**more: Any) -> dict[str, Any]:
    return {
        "id": "w-1",
        "url": "https://hooks.example.com/x",
        "events": ["job.failed"],
        "description": "",
        "created_at": "2026-01-01T00:00:00Z",
        "status": "enabled",
        "disabled_at": None,
        "disabled_reason": None,
        "failures": 0,
        "failing_since": None,
        "old_secret_until": None,
    } | more


DELIVERY = {
    "id": "d-1",
    "webhook": "w-1",
    "event": "evt_1",
    "type": "job.failed",
    "subject": "job-1",
    "status": "pending",
    "created_at": "2026-01-01T00:00:00Z",
    "ended_at": None,
    "next_attempt_at": "2026-01-01T00:01:00Z",
    "attempts": [
        {"at": "2026-01-01T00:00:01Z", "duration_ms": 12, "http_status": 302,
         "error": {"code": "redirect_refused", "message": "redirects are not followed"}},
    ],
}  # fmt: skip


@pytest.fixture
def lmaas(capsys: pytest.CaptureFixture[str]) -> Lmaas:
    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["webhooks", *words])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def test_add_and_rotate_print_the_secret_once(server: ScriptedServer, lmaas: Lmaas) -> None:
    server.script = [Answer(201, webhook(secret=SECRET)), Answer(200, webhook(secret=SECRET))]
    words = ["add", "https://hooks.example.com/x", "-e", "job.failed", "-e", "job.expired"]
    assert lmaas(*words, "--description", "mine") == (0, f"w-1\t{SECRET}\n", "")
    assert lmaas("rotate", "w-1") == (0, f"w-1\t{SECRET}\n", "")
    assert server.requests[0].body == {
        "url": "https://hooks.example.com/x",
        "events": ["job.failed", "job.expired"],
        "description": "mine",
    }
    assert server.requests[1].path == "/v1/webhooks/w-1/rotate"


def test_ls_tells_what_is_disabled_and_what_fails(server: ScriptedServer, lmaas: Lmaas) -> None:
    then = "2026-01-01T00:00:00Z"
    server.script = [
        Answer(200, {"data": [
            webhook(),
            webhook(id="w-2", failures=3, failing_since=then),
            webhook(id="w-3", status="disabled", disabled_at=then, disabled_reason="gone"),
        ]}),
    ]  # fmt: skip
    code, out, _ = lmaas("ls")
    assert code == 0
    assert [line.split("\t")[2].partition(" ")[0].strip(",") for line in out.splitlines()] == [
        "enabled",
        "failing",
        "disabled",
    ]
    assert "gone" in out


def test_status_names_what_is_disabled(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    off = {"status": "disabled", "disabled_at": "2026-01-01T00:00:00Z", "disabled_reason": "gone"}
    found: dict[str, Any] = {"/v1/webhooks": Answer(200, {"data": [webhook(**off)]})}
    server.decide = lambda request: found.get(request.path, Answer(200, {"data": []}))
    for told in (True, False):
        with pytest.raises(SystemExit):
            main(["status"])
        assert ("webhook w-1 was disabled" in capsys.readouterr().out) is told
        found["/v1/webhooks"] = refusal(403, "insufficient_scope")  # a key for jobs alone


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        (["rm", "w-1"], "DELETE", "/v1/webhooks/w-1"),
        (["enable", "w-1"], "POST", "/v1/webhooks/w-1/enable"),
    ],
)
def test_one_is_removed_or_enabled(
    server: ScriptedServer, lmaas: Lmaas, words: list[str], method: str, path: str
) -> None:
    server.script = [Answer(200, webhook())]
    assert lmaas(*words)[0] == 0
    assert (server.requests[0].method, server.requests[0].path) == (method, path)


def test_the_log_tells_the_last_attempt_and_goes_from_page_to_page(
    server: ScriptedServer, lmaas: Lmaas
) -> None:
    server.script = [
        Answer(200, {"data": [DELIVERY], "next_cursor": "d-1"}),
        Answer(200, {"data": [DELIVERY | {"id": "d-0", "attempts": []}], "next_cursor": None}),
    ]
    code, out, _ = lmaas("log", "w-1", "--status", "pending", "-n", "5")
    assert code == 0
    first, second = out.splitlines()
    assert first.startswith("d-1\tjob.failed\tjob-1\tpending\t1\t")
    assert first.endswith("302: redirects are not followed")
    assert second.endswith("\t-")
    assert [request.query.get("cursor") for request in server.requests] == [None, "d-1"]
    server.script = [Answer(200, {"data": [DELIVERY], "next_cursor": None})]
    told = json.loads(lmaas("log", "--about", "job-1", "--json")[1])
    assert told[0]["attempts"][0]["error_code"] == "redirect_refused"
    assert server.requests[-1].path == "/v1/webhooks/deliveries"
    assert server.requests[-1].query["subject"] == "job-1"


def test_replays_are_of_some_or_of_a_time(server: ScriptedServer, lmaas: Lmaas) -> None:
    server.script = [Answer(200, DELIVERY), Answer(200, DELIVERY)]
    assert lmaas("replay", "w-1", "d-1", "d-2")[:2] == (0, "2 due again\n")
    assert server.requests[1].path == "/v1/webhooks/w-1/deliveries/d-2/replay"
    server.script = [Answer(200, {"replayed": 7, "more": False})]
    words = ["replay", "w-1", "--since", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"]
    assert lmaas(*words, "--delivered")[1] == "7 due again\n"
    sent = server.requests[-1].body
    assert sent["status"] is None
    assert sent["since"].startswith("20")
    for wrong in ([], ["d-1", "--since", "1h"], ["d-1", "--delivered"]):
        assert lmaas("replay", "w-1", *wrong)[0] == 2
    assert len(server.requests) == 3


def test_a_test_and_the_signing_secret(server: ScriptedServer, lmaas: Lmaas) -> None:
    signing = Answer(200, {"secret": SECRET, "old_secret_until": None})
    server.script = [Answer(202, DELIVERY), signing, signing]
    assert lmaas("test", "w-1")[1] == "d-1\tevt_1\n"
    assert lmaas("secret")[1] == f"{SECRET}\n"
    assert lmaas("rotate", "--jobs")[1] == f"{SECRET}\n"
    assert server.requests[-1].path == "/v1/webhooks/signing-secret/rotate"
    assert lmaas("rotate")[0] == 2


def test_a_job_is_submitted_with_its_webhook(server: ScriptedServer) -> None:
    told = {"url": "https://hooks.example.com/x", "events": ["job.failed"]}
    with Client() as client:
        client.submit(model="echo", prompt="hi", webhook=told)
        client.submit(model="echo", prompt="hi")
        for bad in ("", "../keys", "a/b", "a?b"):
            with pytest.raises(BadUsage):
                client.webhooks.rm(bad)
    assert [request.body.get("webhook") for request in server.requests] == [told, None]
