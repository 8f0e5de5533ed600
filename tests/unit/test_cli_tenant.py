"""`lmaas usage` and `lmaas audit`: what people and programs read."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from lmaas.cli import main
from tests.unit.scripted_server import Answer, ScriptedServer, refusal

Lmaas = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lmaas(capsys: pytest.CaptureFixture[str]) -> Lmaas:
    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(words))
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return int(ended.value.code or 0), captured.out, captured.err

    return run


def usage(**changes: Any) -> Answer:
    jobs = {"succeeded": 3, "failed": 0, "cancelled": 1, "expired": 0}
    line = {"object": "usage", "day": "2026-01-31", "model": "echo@1", "jobs": jobs,
            "prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}  # fmt: skip
    return Answer(200, {"object": "list", "data": [line | changes], "has_more": False})


def test_usage_is_a_table_csv_or_json(server: ScriptedServer, lmaas: Lmaas) -> None:
    server.script = [usage(), usage(), usage(day=None)]
    assert lmaas("usage")[1] == "2026-01-31\techo@1\t3\t0\t1\t0\t30\t12\n"
    head, line = lmaas("usage", "--csv")[1].splitlines()
    assert head.startswith("day,model,succeeded,failed,cancelled,expired,prompt_tokens,")
    assert line == "2026-01-31,echo@1,3,0,1,0,30,12"
    [told] = json.loads(lmaas("usage", "--json")[1])
    assert (told["day"], told["model"], told["completion_tokens"]) == (None, "echo@1", 12)


def test_days_model_and_grouping_reach_the_server(server: ScriptedServer, lmaas: Lmaas) -> None:
    server.script = [usage()]
    lmaas("usage", "--from", "2026-01-01", "--to", "2026-01-31", "-m", "echo", "--by", "model")
    assert server.requests[0].query == {
        "from": "2026-01-01", "to": "2026-01-31", "model": "echo", "group": "model",
        "limit": "10000",
    }  # fmt: skip


def test_usage_cannot_be_csv_and_json(server: ScriptedServer, lmaas: Lmaas) -> None:
    assert lmaas("usage", "--csv", "--json")[0] == 2
    assert lmaas("usage", "--from", "yesterday")[0] == 2


def test_the_audit_log_is_read_page_by_page(server: ScriptedServer, lmaas: Lmaas) -> None:
    def page(id: str, cursor: str | None) -> Answer:
        entry = {"id": id, "object": "audit_entry", "at": "2026-01-31T10:00:00Z", "actor": "key",
                 "key_id": "k1", "address": "10.0.0.1", "action": "key.create",
                 "target": {"kind": "key", "id": id}, "details": {"name": "ci"}}  # fmt: skip
        return Answer(200, {"object": "list", "data": [entry], "next_cursor": cursor})

    server.script = [page("a", "a"), page("b", None)]
    code, out, _ = lmaas("audit", "--action", "key.create")
    assert code == 0
    assert out.splitlines() == [
        f'2026-01-31 10:00:00\tkey k1\t10.0.0.1\tkey.create\t{id}\t{{"name": "ci"}}' for id in "ab"
    ]
    assert [request.query.get("cursor") for request in server.requests] == [None, "a"]
    assert server.requests[0].query["action"] == "key.create"


def test_a_key_without_the_scope_is_told_so(server: ScriptedServer, lmaas: Lmaas) -> None:
    server.script = [refusal(403, "insufficient_scope", "no scope 'admin'")]
    code, _, err = lmaas("audit")
    assert code == 4
    assert "admin" in err
