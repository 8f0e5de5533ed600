"""What `lmaas batch follow` advises at the end: only what the server would do."""

import json
from typing import Any

import pytest

from lmaas.cli import main
from tests.unit.scripted_server import Answer, Request, ScriptedServer, refusal

NAME, ERRORS = "batch_1", "file-2"
DOUBLED = (None, {"code": "duplicate_custom_id", "message": "twice"})
CANCELLED = ("c", {"code": "batch_cancelled", "message": "cancelled"})


def line(custom_id: str | None, error: dict[str, Any], status: int | None = None) -> bytes:
    """A line of an error file: the line's own fault, or what a request would have got."""
    response = {"status_code": status, "body": {"error": error}} if status else None
    own = None if status else error
    return json.dumps({"custom_id": custom_id, "response": response, "error": own}).encode() + b"\n"


def followed(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], errors: Answer, **fields: Any
) -> str:
    counts = {"total": 3, "completed": 1, "failed": 2}
    batch = {"id": NAME, "status": "completed", "endpoint": "/v1/x", "request_counts": counts,
             "error_file_id": ERRORS} | fields  # fmt: skip

    def decide(request: Request) -> Answer:
        return errors if request.path == f"/v1/files/{ERRORS}/content" else Answer(200, batch)

    server.decide = decide
    with pytest.raises(SystemExit) as ended:
        main(["batch", "follow", NAME])
    assert ended.value.code == 1
    return capsys.readouterr().err.strip().splitlines()[-1]


RETRY = f"; `lmaas batch retry {NAME}` runs those that failed again"
NAMED = f"; `lmaas batch retry {NAME} --code batch_cancelled` runs those that were cancelled"
READ = f"; `lmaas files get {ERRORS}` says why the others have none"


@pytest.mark.parametrize(
    ("lines", "advice"),
    [
        ([line(*DOUBLED)] * 2, READ),
        ([line(*DOUBLED), line("b", {"code": "model_not_found"}, 404)], RETRY),
        ([line("b", {"code": "batch_expired"}), line(*DOUBLED)], RETRY),
        ([line(*CANCELLED), line(*DOUBLED)], NAMED),
        ([line(*CANCELLED), line("b", {"code": "engine_failed"}, 500)], RETRY),
    ],
)
def test_a_retry_is_advised_if_there_is_a_line_that_it_would_run(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str], lines: list[bytes], advice: str
) -> None:
    said = followed(server, capsys, Answer(200, b"".join(lines)))
    assert said == f"{NAME} completed: 1 of 3 lines have a result{advice}"


def test_nothing_is_advised_of_errors_that_are_not_there(
    server: ScriptedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = f"{NAME} completed: 1 of 3 lines have a result"
    assert followed(server, capsys, refusal(404, "not_found")) == plain
    asked = len(server.requests)
    assert followed(server, capsys, Answer(), error_file_id=None) == plain
    assert len(server.requests) == asked + 1  # the batch alone
