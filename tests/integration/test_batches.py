"""Batches: every line of a file exactly once, whatever the file and whatever happens."""

import json
import logging
import resource
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from api.openai.batch_answers import BatchAnswer, BatchList
from jobs.batches.names import batch_id
from jobs.batches.output_rows import Which
from jobs.keys import Scope
from jobs.task_manager import TaskManager
from models_store.echo import write_folder
from models_store.prompt import PromptRenderer
from routing.openai.batch_outputs import lines as output_lines
from tests.integration.batch_bench import CHAT, BatchBench, StopAfter, chat_line, said
from tests.integration.front_door import FrontDoor, read, refusal
from tests.integration.job_samples import row, rows, value


@pytest.fixture(scope="module")
def bench(door: FrontDoor) -> BatchBench:
    return BatchBench.over(door)


def ids(found: list[dict[str, Any]]) -> list[Any]:
    return [line["custom_id"] for line in found]


def line_code(line: dict[str, Any]) -> str:
    """The code of a line of an error file, wherever it stands."""
    error = line["error"] or line["response"]["body"]["error"]
    return str(error["code"])


def test_a_batch_runs_every_line_and_answers_in_order(bench: BatchBench) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}", f"hello {n}") for n in range(7)))
    assert bench.view(name).status == "validating"
    output, errors = bench.done(name)
    assert ids(output) == [f"c{n}" for n in range(7)]
    told_texts = [line["response"]["body"]["choices"][0]["message"]["content"] for line in output]
    assert told_texts == [f"hello {n}" for n in range(7)]
    told = BatchAnswer.model_validate(bench.answer(name))
    assert (told.status, told.error_file_id, errors) == ("completed", None, [])
    assert (told.request_counts.total, told.request_counts.completed) == (7, 7)
    assert told.usage is not None
    assert told.usage.output_tokens == 21


def test_an_answer_with_separators_of_unicode_is_one_line_of_its_file(bench: BatchBench) -> None:
    texts = ["a\u2028b", "\x85", "c\u2029\u2028d\x0be\x1cf"]
    name = bench.create(bench.file(chat_line(text, text) for text in texts))
    output, _ = bench.done(name)  # which reads it by `splitlines`
    assert ids(output) == texts
    told = [line["response"]["body"]["choices"][0]["message"]["content"] for line in output]
    assert told == texts


def test_an_output_line_has_the_shape_that_clients_know(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("only")]))
    [line], _ = bench.done(name)
    [job] = rows(bench.engine, "SELECT id FROM jobs WHERE batch_id = :id", id=batch_id(name))
    assert line["id"] == f"batch_req_{job.id.hex}"
    assert line["response"]["status_code"] == 200
    assert line["response"]["body"]["id"] == f"chatcmpl-{job.id.hex}"
    assert set(line) == {"id", "custom_id", "response", "error"}


def a_line(**changes: Any) -> str:
    body = {"custom_id": "x", "method": "POST", "url": CHAT,
            "body": {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}}  # fmt: skip
    return json.dumps({k: v for k, v in (body | changes).items() if v is not None})


def chat_body(**changes: Any) -> dict[str, Any]:
    return json.loads(chat_line("x", **changes))["body"]  # type: ignore[no-any-return]


DIRT: list[tuple[bytes, str, str | None]] = [
    # what stands in the file, the code in the error file, and the custom_id there
    (b'{"custom_id": "cut', "invalid_json", None),
    (b"[1, 2]", "invalid_line", None),
    (a_line(custom_id=None).encode(), "missing_custom_id", None),
    (a_line(custom_id="").encode(), "invalid_custom_id", None),
    (a_line(custom_id=17).encode(), "invalid_custom_id", None),
    (a_line(custom_id="y" * 513).encode(), "invalid_custom_id", None),
    (b'{"custom_id": "nul\\u0000", "method": "POST"}', "invalid_custom_id", None),
    (a_line(custom_id="good 0").encode(), "duplicate_custom_id", None),
    (a_line(custom_id="get", method="GET").encode(), "invalid_method", "get"),
    (a_line(custom_id="elsewhere", url="/v1/completions").encode(), "invalid_url", "elsewhere"),
    (a_line(custom_id="bodiless", body=None).encode(), "invalid_body", "bodiless"),
    (a_line(custom_id="more", extra=1).encode(), "unknown_field", "more"),
    (b'{"custom_id": "latin \xe9"}', "invalid_json", None),
    (b'{"custom_id": "raw \x00 nul"}', "invalid_json", None),
    (b'{"custom_id": "half \\ud800"}', "invalid_json", None),
    (b'{"custom_id": "nan", "body": {"temperature": NaN}}', "invalid_json", None),
    (b"[" * 100_000, "invalid_json", None),
    (b'{"custom_id": "' + b"z" * 5_000_000 + b'"}', "line_too_long", None),
    (chat_line("stream", stream=True).encode(), "unsupported_parameter", "stream"),
    (chat_line("who", model="nobody").encode(), "model_not_found", "who"),
    (chat_line("typo", temprature=1).encode(), "unknown_parameter", "typo"),
    (chat_line("long", "x" * 9_000).encode(), "context_length_exceeded", "long"),
    (chat_line("nul", "a\x00b").encode(), "invalid_value", "nul"),
    (chat_line("fat", "x" * 1_000_100).encode(), "body_too_large", "fat"),
]


def test_a_dirty_file_gives_an_error_for_each_bad_line_and_runs_the_good_ones(
    bench: BatchBench,
) -> None:
    good = [chat_line(f"good {n}", f"text {n}").encode() for n in range(3)]
    middle = b"\n \r\n\n".join(bad for bad, _, _ in DIRT)  # blank lines between them
    data = b"\xef\xbb\xbf" + good[0] + b"\r\n" + middle + b"\n" + good[1] + b"\r\n\n" + good[2]
    name = bench.create(bench.file(data))
    output, errors = bench.done(name)
    assert ids(output) == ["good 0", "good 1", "good 2"]
    assert [(line["custom_id"], line_code(line)) for line in errors] == [
        (custom_id, code) for _, code, custom_id in DIRT
    ]
    told = bench.answer(name)
    assert told["status"] == "completed"
    assert told["request_counts"] == {"total": 27, "completed": 3, "failed": 24}
    # A line is named as an editor shows it: three physical lines for each bad one.
    assert [line["error"]["line"] for line in errors if line["error"]] == [
        2 + 3 * number for number, line in enumerate(errors) if line["error"]
    ]


@pytest.mark.parametrize(
    "body",
    [
        chat_body(temprature=1),
        chat_body(model="nobody"),
        chat_body(temperature=9),
        chat_body(messages=[]),
        chat_body(max_tokens=100_000),
        chat_body(messages=[{"role": "user", "content": "x" * 9_000}]),
        chat_body(logit_bias={"99": 1000}),
        chat_body(n=99),
        chat_body(response_format={"type": "json_object"}),
        chat_body(top_logprobs=3),
        chat_body(tools=[{"type": "function"}]),
    ],
)
def test_a_refused_line_says_what_the_front_door_says(
    bench: BatchBench, body: dict[str, Any]
) -> None:
    said_there = bench.door.send("POST", CHAT, json=body)
    name = bench.create(bench.file([a_line(body=body)]))
    _, [line] = bench.done(name)
    assert line["response"]["status_code"] == said_there.status_code >= 400
    assert line["response"]["body"] == said_there.get_json()


COMPLETION = {"model": "echo", "prompt": "once upon", "max_tokens": 4}
RESPONSE = {"model": "echo", "input": "hello", "instructions": "be brief", "metadata": {"a": "b"}}


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        (CHAT, chat_body(n=2)),
        ("/v1/completions", COMPLETION),
        ("/v1/completions", COMPLETION | {"echo": True}),
        ("/v1/responses", RESPONSE),
    ],
)
def test_an_answer_in_the_file_is_the_one_of_the_front_door(
    bench: BatchBench, endpoint: str, body: dict[str, Any]
) -> None:
    name = bench.create(bench.file([a_line(url=endpoint, body=body)]), endpoint)
    [line], _ = bench.done(name)
    told = line["response"]["body"]
    if endpoint == "/v1/responses":  # that route can be asked again
        assert told == bench.door.get(f"/v1/responses/{told['id']}").get_json()
        assert (told["instructions"], told["metadata"]) == ("be brief", {"a": "b"})
    else:
        text = told["choices"][0].get("text") or told["choices"][0]["message"]["content"]
        assert text == {True: "once upononce upon", None: said_to(body)}[body.get("echo")]
        assert told["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("form", ["float", "base64"])
def test_a_line_of_embeddings_has_the_vectors_of_its_texts(bench: BatchBench, form: str) -> None:
    body = {"model": "echo", "input": ["a", "bc"], "encoding_format": form}
    name = bench.create(bench.file([a_line(url="/v1/embeddings", body=body)]), "/v1/embeddings")
    [line], _ = bench.done(name)
    told = line["response"]["body"]
    assert [item["index"] for item in told["data"]] == [0, 1]
    assert all(isinstance(item["embedding"], str) == (form == "base64") for item in told["data"])
    assert told["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def said_to(body: dict[str, Any]) -> str:
    return said({k: body[k] for k in ("prompt", "messages") if k in body})


def test_token_ids_are_echoed_as_their_text(bench: BatchBench, tmp_path: Path) -> None:
    write_folder(tmp_path)
    tokens = PromptRenderer.load(tmp_path).encode("h\u00e9llo", special=True)
    lines = [
        a_line(custom_id=str(echo), url="/v1/completions",
               body=COMPLETION | {"prompt": tokens, "echo": echo})
        for echo in (True, False)
    ]  # fmt: skip
    output, _ = bench.done(bench.create(bench.file(lines), "/v1/completions"))
    texts = [line["response"]["body"]["choices"][0]["text"] for line in output]
    assert texts == ["h\u00e9llo as ids", " as ids"]


@pytest.mark.parametrize(
    ("endpoint", "body", "code", "param"),
    [
        ("/v1/completions", COMPLETION | {"prompt": ["one", "two"]}, "unsupported_value", "prompt"),
        ("/v1/responses", RESPONSE | {"previous_response_id": "resp_1"}, "unsupported_parameter",
         "previous_response_id"),
    ],
)  # fmt: skip
def test_what_only_the_front_door_takes_is_refused_by_name(
    bench: BatchBench, endpoint: str, body: dict[str, Any], code: str, param: str
) -> None:
    name = bench.create(bench.file([a_line(url=endpoint, body=body)]), endpoint)
    _, [line] = bench.done(name)
    error = line["response"]["body"]["error"]
    assert (error["code"], error["param"]) == (code, param)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\n", "empty_file"),
        (b"\xef\xbb\xbf\r\n  \n", "empty_file"),
        (b"{}\n" * 50_001, "too_many_lines"),
        (b"\n" * 1_000_001 + b"{}", "too_many_lines"),
    ],
)
def test_a_file_that_is_of_no_use_fails_the_batch_as_a_whole(
    bench: BatchBench, data: bytes, code: str
) -> None:
    name = bench.create(bench.file(data))
    bench.take_in()
    told = BatchAnswer.model_validate(bench.answer(name))
    assert told.status == "failed"
    assert told.failed_at is not None
    assert told.errors is not None
    assert [error.code for error in told.errors.data] == [code]
    assert (told.output_file_id, told.error_file_id) == (None, None)


def test_failed_jobs_stand_in_the_error_file(bench: BatchBench) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(3)))
    bench.take_in()
    [second] = rows(bench.engine, "SELECT job_id FROM batch_lines WHERE batch_id = :id "
                    "AND line = 2", id=batch_id(name))  # fmt: skip
    bench.run(but=[second.job_id])
    bench.finish()
    told = bench.answer(name)
    [error] = bench.content(told["error_file_id"])
    assert (error["custom_id"], error["response"]["status_code"]) == ("c1", 500)
    assert line_code(error) == "engine_failed"
    assert ids(bench.content(told["output_file_id"])) == ["c0", "c2"]
    assert told["status"] == "completed"


def test_a_cancelled_batch_tells_what_came_out_and_of_every_other_line(bench: BatchBench) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(1_200)))
    bench.intake.piece(StopAfter(1_201))  # counted, and the first chunk taken in
    bench.run()
    told = bench.door.send("POST", f"/v1/batches/{name}/cancel").get_json()
    assert told["status"] == "cancelling"
    bench.take_in()  # the rest of the file is told of, and not run
    bench.finish()
    told = bench.answer(name)
    assert told["status"] == "cancelled"
    output, errors = bench.content(told["output_file_id"]), bench.content(told["error_file_id"])
    assert ids(output) == [f"c{n}" for n in range(500)]
    assert ids(errors) == [f"c{n}" for n in range(500, 1_200)]
    assert {line["error"]["code"] for line in errors} == {"batch_cancelled"}
    assert told["request_counts"] == {"total": 1_200, "completed": 500, "failed": 700}


def test_waiting_lines_end_at_once_and_running_ones_are_asked_to(bench: BatchBench) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(5)))
    bench.take_in()
    running = bench.claim(2)
    bench.door.send("POST", f"/v1/batches/{name}/cancel")
    bench.finish()
    counts = bench.view(name).counts
    assert (bench.view(name).status, counts.cancelled, counts.running) == ("cancelling", 3, 2)
    assert all(row(bench.engine, job.id).cancel_requested for job in running.jobs)
    bench.end(running)
    bench.finish()
    assert bench.answer(name)["status"] == "cancelled"
    assert bench.view(name).counts.cancelled == 5


def over(bench: BatchBench, name: str) -> None:
    """The window of a batch ends now, for its jobs too."""
    rows(bench.engine, "UPDATE batches SET expires_at = clock_timestamp() WHERE id = :id "
         "RETURNING id", id=batch_id(name))  # fmt: skip
    rows(bench.engine, "UPDATE jobs SET expires_at = clock_timestamp(), "
         "deadline = clock_timestamp() WHERE batch_id = :id RETURNING id",
         id=batch_id(name))  # fmt: skip


def test_when_the_window_is_over_every_line_says_so_and_answers_stay(bench: BatchBench) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(600)))
    bench.intake.piece(StopAfter(601))
    bench.end(bench.claim(100))
    over(bench, name)
    bench.take_in()
    bench.door.manager.expire()
    bench.finish()
    told = bench.answer(name)
    assert (told["status"], told["expired_at"] is not None) == ("expired", True)
    output, errors = bench.content(told["output_file_id"]), bench.content(told["error_file_id"])
    assert len(output) == 100
    assert {line["error"]["code"] for line in errors} == {"batch_expired"}
    assert sorted([*ids(output), *ids(errors)]) == sorted(f"c{n}" for n in range(600))


def test_jobs_of_a_batch_end_with_its_window(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("one")]), completion_window="5m")
    bench.take_in()
    [job] = rows(bench.engine, "SELECT * FROM jobs WHERE batch_id = :id", id=batch_id(name))
    expires_at = bench.view(name).expires_at
    assert (job.priority, job.expires_at, job.deadline) == ("batch", expires_at, expires_at)
    assert job.rank < expires_at
    bench.run()
    bench.finish()


def test_jobs_run_while_the_rest_of_the_file_is_read(bench: BatchBench) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(1_100)))
    bench.intake.piece(StopAfter(1_101))
    bench.run()
    counts = bench.view(name).counts
    assert (counts.total, counts.succeeded, counts.unread) == (1_100, 500, 600)
    bench.finish()
    assert bench.view(name).status == "in_progress"  # not over: lines are still to come
    output, _ = bench.done(name)
    assert ids(output) == [f"c{n}" for n in range(1_100)]


def test_a_chunk_whose_answer_was_lost_on_the_way_is_not_added_again(
    bench: BatchBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(700)))
    submit = TaskManager.submit_many

    def twice(*arguments: Any) -> bool:  # as `jobs.database` does with a lost connection
        return submit(*arguments) and submit(*arguments)

    monkeypatch.setattr(TaskManager, "submit_many", twice)
    bench.take_in()
    assert bench.view(name).counts.queued == 700
    output, _ = bench.done(name)
    assert ids(output) == [f"c{n}" for n in range(700)]


def test_another_housekeeper_goes_on_where_the_last_chunk_ended(bench: BatchBench) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(1_100)))
    bench.intake.piece(StopAfter(1_101))
    rows(bench.engine, "UPDATE batches SET taken_by = NULL, taken_until = NULL RETURNING id")
    first, second = BatchBench.over(bench.door), BatchBench.over(bench.door)
    first.intake.piece(StopAfter(1))
    second.take_in()
    assert value(bench.engine, "SELECT count(*) FROM jobs WHERE batch_id = :id",
                 id=batch_id(name)) == 1_100  # fmt: skip
    output, _ = bench.done(name)
    assert ids(output) == [f"c{n}" for n in range(1_100)]


def test_a_housekeeper_that_lost_its_batch_adds_nothing(
    bench: BatchBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(3)))
    other = BatchBench.over(bench.door)
    sql = "UPDATE batches SET taken_by = gen_random_uuid() WHERE id = :id RETURNING id"
    submit = TaskManager.submit_many

    def late(*arguments: Any) -> bool:
        rows(bench.engine, sql, id=batch_id(name))
        return submit(*arguments)

    monkeypatch.setattr(TaskManager, "submit_many", late)
    other.intake.piece(StopAfter(100))
    assert bench.view(name).counts.unread == 3
    monkeypatch.undo()
    rows(bench.engine, "UPDATE batches SET taken_until = NULL RETURNING id")
    output, _ = bench.done(name)
    assert len(output) == 3


def test_lines_that_ended_can_be_read_while_the_batch_runs(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("a"), "{", chat_line("b"), chat_line("c")]))
    bench.take_in()
    running = bench.claim(3)
    told = list(output_lines(bench.engine, batch_id(name), CHAT, Which.ENDED))
    assert told == []
    first, third, fourth = running.jobs
    bench.end(type(running)(running.worker_id, [first, fourth]))

    def so_far(after: int) -> list[int]:
        return [n for n, _ in output_lines(bench.engine, batch_id(name), CHAT, Which.ENDED,
                                           after=after)]  # fmt: skip

    assert so_far(0) == [1, 2]  # up to the first that is still open
    bench.end(type(running)(running.worker_id, [third]))
    assert so_far(2) == [3, 4]
    bench.finish()


def test_files_that_were_written_before_a_kill_are_not_written_again(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("a"), "{"]))
    bench.take_in()
    bench.run()
    bench.finish()
    before = bench.answer(name)
    files = "SELECT count(*) FROM files WHERE purpose = 'batch_output'"
    count = value(bench.engine, files)
    with bench.engine.begin() as connection:  # as if it had died before it said so
        again = "UPDATE batches SET status = 'finalizing', output_file_id = NULL WHERE id = :id"
        connection.execute(text("ALTER TABLE batches DISABLE TRIGGER guard_batch_state"))
        connection.execute(text(again), {"id": batch_id(name)})
        connection.execute(text("ALTER TABLE batches ENABLE TRIGGER guard_batch_state"))
    bench.finish()
    assert bench.answer(name)["output_file_id"] == before["output_file_id"]
    assert value(bench.engine, files) == count


def test_a_file_that_goes_while_it_is_read_fails_the_batch_and_keeps_its_answers(
    bench: BatchBench,
) -> None:
    file = bench.file(chat_line(f"c{n}") for n in range(600))
    name = bench.create(file)
    bench.intake.piece(StopAfter(601))
    bench.erase(file)
    output, errors = bench.done(name)
    told = bench.answer(name)
    assert (told["status"], len(output), len(errors)) == ("failed", 500, 0)
    assert told["errors"]["data"][0]["code"] == "file_gone"
    assert told["request_counts"] == {"total": 500, "completed": 500, "failed": 0}


def test_batches_are_listed_newest_first_and_by_pages(bench: BatchBench) -> None:
    file = bench.file([chat_line("x")])
    made = [bench.create(file) for _ in range(3)]
    listed = read(bench.door.get("/v1/batches?limit=2"), BatchList)
    assert [one.id for one in listed.data] == made[:0:-1]
    assert listed.has_more
    more = read(bench.door.get(f"/v1/batches?limit=1&after={listed.last_id}"), BatchList)
    assert [one.id for one in more.data] == made[:1]
    other = bench.door.key(tenant="another lister")
    for after, key in (("x", None), (f"batch_{'0' * 32}", None), (made[0], other)):
        told = refusal(bench.door.get(f"/v1/batches?after={after}", key=key))
        assert told[:3] == (404, "batch_not_found", "after")
    bench.done(made[0])


def test_jobs_say_of_which_batch_they_are_a_line(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("x"), chat_line("y")]))
    bench.take_in()
    jobs = bench.door.get(f"/v1/jobs?batch={name}").get_json()["data"]
    assert [job["batch"] for job in jobs] == [name, name]
    told = bench.door.get(f"/v1/jobs/{jobs[0]['id']}/explain").get_json()
    assert told["batch"] == name
    assert refusal(bench.door.get("/v1/jobs?batch=17"))[:2] == (404, "batch_not_found")
    bench.done(name)


def test_a_key_makes_one_batch(bench: BatchBench) -> None:
    body = {"input_file_id": bench.file([chat_line("x")]), "endpoint": CHAT,
            "completion_window": "24h"}  # fmt: skip

    def ask(**changes: str) -> Any:
        return bench.door.send("POST", "/v1/batches", json=body | changes,
                               headers={"Idempotency-Key": "one batch"})  # fmt: skip

    first = ask().get_json()
    bench.done(first["id"])
    assert ask().get_json()["id"] == first["id"]
    assert refusal(ask(completion_window="1h"))[:2] == (422, "idempotency_key_reused")


def test_somebody_elses_batches_and_files_are_not_there(bench: BatchBench) -> None:
    file = bench.file([chat_line("x")])
    name = bench.create(file)
    key = bench.door.key(Scope.BATCHES, tenant="another")
    for method, path in (("GET", ""), ("POST", "/cancel")):
        answer = bench.door.send(method, f"/v1/batches/{name}{path}", key=key)
        assert refusal(answer)[:2] == (404, "batch_not_found")
    assert bench.door.get("/v1/batches", key=key).get_json()["data"] == []
    body = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    answer = bench.door.send("POST", "/v1/batches", json=body, key=key)
    assert refusal(answer)[:3] == (404, "file_not_found", "input_file_id")
    bench.done(name)


@pytest.mark.parametrize(
    ("changes", "status", "param"),
    [
        ({"endpoint": "/v1/images/generations"}, 400, "endpoint"),
        ({"completion_window": "1 day"}, 400, "completion_window"),
        ({"completion_window": "31d"}, 400, "completion_window"),
        ({"completion_window": "0h"}, 400, "completion_window"),
        ({"input_file_id": "file-17"}, 404, "input_file_id"),
        ({"metadata": {"a": 1}}, 400, "metadata.a"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, 400,
         "output_expires_after.seconds"),
        ({"windows": "24h"}, 400, "windows"),
    ],
)  # fmt: skip
def test_a_batch_that_cannot_be_is_refused_by_the_name_of_its_field(
    bench: BatchBench, changes: dict[str, Any], status: int, param: str
) -> None:
    body = {"input_file_id": bench.file([chat_line("x")]), "endpoint": CHAT,
            "completion_window": "24h"} | changes  # fmt: skip
    told = refusal(bench.door.send("POST", "/v1/batches", json=body))
    assert (told[0], told[2]) == (status, param)


def test_a_file_for_something_else_is_no_input(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("x")]))
    bench.done(name)
    output = bench.answer(name)["output_file_id"]
    body = {"input_file_id": output, "endpoint": CHAT, "completion_window": "24h"}
    told = refusal(bench.door.send("POST", "/v1/batches", json=body))
    assert (told[0], told[2]) == (400, "input_file_id")


def test_a_finished_batch_stays_as_it_is_when_it_is_cancelled(bench: BatchBench) -> None:
    name = bench.create(bench.file([chat_line("x")]))
    bench.done(name)
    assert bench.door.send("POST", f"/v1/batches/{name}/cancel").get_json() == bench.answer(name)


def test_no_text_of_a_line_stands_in_a_log(
    bench: BatchBench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    canary = "canary-7f3a"
    lines = [chat_line(canary, canary), chat_line(f"{canary} 2", canary, tools=[canary]), canary]
    bench.done(bench.create(bench.file(lines)))
    assert caplog.records
    assert canary not in caplog.text


def test_a_full_disk_leaves_no_half_of_an_output_and_the_files_come_later(
    bench: BatchBench,
) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(50)))
    bench.take_in()
    bench.run()
    root = bench.door.services.settings.store / "files"
    before = {path for path in root.rglob("*") if path.is_file()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        bench.finish()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    told = bench.answer(name)
    assert (told["status"], told["output_file_id"]) == ("finalizing", None)
    assert {path for path in root.rglob("*") if path.is_file()} == before
    rows(bench.engine, "UPDATE batches SET taken_until = NULL RETURNING id")  # a while later
    bench.finish()
    assert len(bench.content(bench.answer(name)["output_file_id"])) == 50


def test_an_answer_that_was_erased_before_the_files_were_written_says_so(
    bench: BatchBench,
) -> None:
    name = bench.create(bench.file([chat_line("kept"), chat_line("erased")]))
    bench.take_in()
    bench.run()
    [job] = rows(bench.engine, "SELECT job_id FROM batch_lines WHERE batch_id = :id "
                 "AND line = 2", id=batch_id(name))  # fmt: skip
    bench.door.manager.erase(bench.door.tenant_id, job.job_id)
    bench.finish()
    first, second = bench.content(bench.answer(name)["output_file_id"])
    assert (first["custom_id"], first["response"]["status_code"]) == ("kept", 200)
    assert (second["custom_id"], second["response"]["status_code"]) == ("erased", 410)
    assert line_code(second) == "job_erased"


def test_a_storage_that_does_not_answer_is_asked_again_until_the_window_is_over(
    bench: BatchBench,
) -> None:
    name = bench.create(bench.file(chat_line(f"c{n}") for n in range(600)))
    bench.intake.piece(StopAfter(601))
    root = bench.door.services.settings.store / "files"
    away = root.rename(root.with_name("elsewhere"))
    root.touch()  # a file where a folder should be: not "not found"
    try:
        bench.take_in()
        assert bench.view(name).counts.unread == 100
        over(bench, name)
        rows(bench.engine, "UPDATE batches SET taken_until = NULL RETURNING id")
        bench.take_in()
    finally:
        root.unlink()
        away.rename(root)
    bench.door.manager.expire()
    rows(bench.engine, "UPDATE batches SET taken_until = NULL RETURNING id")
    bench.finish()
    told = bench.answer(name)
    assert (told["status"], told["errors"]["data"][0]["code"]) == ("failed", "storage_unavailable")
    assert told["request_counts"] == {"total": 500, "completed": 0, "failed": 500}
