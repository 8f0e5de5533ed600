"""Several completions, logprobs and forms, from the claim to what a client reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from api import presentation
from api.result_schemas import Result
from jobs.job_views import JobView
from jobs.settings import Settings
from jobs.states import State
from models_store.echo import write_folder
from tests.conditions import eventually
from tests.integration.job_samples import a_job
from tests.integration.worker_bench import Bench
from tests.unit.engine_models import engine as tiny_engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "bytes"
    made.mkdir()
    write_folder(made)
    return made


@pytest.fixture
def echo(engine: Engine, settings: Settings, folder: Path) -> Iterator[Bench]:
    """A worker whose engine repeats the prompt, 20 tokens a second."""
    yield from _bench(Bench(engine, settings, folder))


@pytest.fixture
def tiny(engine: Engine, settings: Settings, folder: Path) -> Iterator[Bench]:
    """A worker with a tiny random model over bytes."""
    yield from _bench(Bench(engine, settings, folder, tiny_engine))


def _bench(made: Bench) -> Iterator[Bench]:
    made.handler.start(made.server)
    yield made
    made.stop()
    assert made.broken == []


def submit(bench: Bench, prompt: str = "hello", **parameters: Any) -> UUID:
    job = a_job(bench.tenant_id, prompt=prompt)
    job.parameters.update(parameters)
    return bench.submit(job)


def ended(bench: Bench, id: UUID) -> JobView:
    eventually(lambda: bench.view(id).is_terminal, within_s=20)
    return bench.view(id)


def result(view: JobView) -> Result:
    """What a client is shown, held against the schema."""
    return Result.model_validate_json(json.dumps(presentation.job(view)["result"]), strict=True)


def test_a_job_yields_several_completions_and_takes_one_slot(echo: Bench) -> None:
    id = submit(echo, "abc", n=3)
    held = eventually(lambda: echo.held.get(id), within_s=10)
    eventually(lambda: len(held.choices) == 2, within_s=10)
    assert echo.held.in_engine == 1
    view = ended(echo, id)
    shown = result(view)
    assert (view.state, shown.text, shown.finish_reason) == ("succeeded", "abc", "stop")
    assert shown.usage.completion_tokens == 9
    assert shown.choices is not None
    assert [(c.text, c.finish_reason, c.logprobs) for c in shown.choices] == [
        ("abc", "stop", None)
    ] * 3
    assert echo.held.in_engine == 0


def test_a_cancel_between_completions_keeps_those_that_are_there(echo: Bench) -> None:
    id = submit(echo, "abcdef", n=16)
    held = eventually(lambda: echo.held.get(id), within_s=10)
    eventually(lambda: len(held.choices) == 2 and held.choices[1].tokens > 1, within_s=10)
    echo.manager.cancel(echo.tenant_id, id)
    echo.handler.running.end(id, State.CANCELLED)
    view = ended(echo, id)
    shown = result(view)
    assert (view.state, shown.text, shown.finish_reason) == ("cancelled", "abcdef", "cancelled")
    assert shown.choices is not None
    assert shown.choices[0].finish_reason == "stop"
    assert 2 <= len(shown.choices) <= 4
    assert shown.usage.completion_tokens == sum(len(choice.text) for choice in shown.choices)
    eventually(lambda: echo.server._engine.active == 0, within_s=3)


def test_each_completion_is_what_its_own_seed_gives(tiny: Bench) -> None:
    options: dict[str, Any] = {"temperature": 1.0, "max_tokens": 12}
    several = [submit(tiny, n=3, seed=7, **options) for _ in range(2)]
    single = [submit(tiny, seed=seed, **options) for seed in (7, 8, 9)]
    texts = [ended(tiny, id).text for id in single]
    assert len(set(texts)) == 3
    for id in several:
        choices = result(ended(tiny, id)).choices
        assert choices is not None
        assert [choice.text for choice in choices] == texts


def test_logprobs_are_stored_with_exact_bytes_whatever_they_are(tiny: Bench) -> None:
    # Byte 0, which Postgres cannot hold as text, and half of a character.
    nul, half = 188, 128
    id = submit(tiny, logprobs=True, top_logprobs=2, max_tokens=4, logit_bias={str(nul): 100.0})
    other = submit(tiny, logprobs=True, max_tokens=2, logit_bias={str(half): 100.0}, n=2)
    shown = result(ended(tiny, id))
    assert shown.logprobs is not None
    assert [entry.bytes for entry in shown.logprobs] == [[0]] * 4
    assert [entry.token for entry in shown.logprobs] == ["\ufffd"] * 4
    assert all(len(entry.top_logprobs) == 2 for entry in shown.logprobs)
    assert all(entry.logprob <= entry.top_logprobs[0].logprob <= 0 for entry in shown.logprobs)
    choices = result(ended(tiny, other)).choices
    assert choices is not None
    assert [len(choice.logprobs or ()) for choice in choices] == [2, 2]


def test_echo_is_certain_of_each_token(echo: Bench) -> None:
    shown = result(ended(echo, submit(echo, "é!", logprobs=True, top_logprobs=1)))
    assert shown.logprobs is not None
    assert [entry.bytes for entry in shown.logprobs] == [[0xC3], [0xA9], [0x21]]
    assert {entry.logprob for entry in shown.logprobs} == {0.0}
    assert [[top.bytes for top in entry.top_logprobs] for entry in shown.logprobs] == [
        [[0xC3]],
        [[0xA9]],
        [[0x21]],
    ]


def test_a_completion_has_the_form_that_was_asked_for(tiny: Bench) -> None:
    answers = {name: {"type": "boolean"} for name in ("sure", "ok")}
    schema = {"type": "object", "properties": answers, "required": ["ok", "sure"],
              "additionalProperties": False}  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
    id = submit(tiny, response_format=form, max_tokens=60, temperature=1.0, n=2, seed=1)
    plain = submit(tiny, max_tokens=10)
    choices = result(ended(tiny, id)).choices
    assert choices is not None
    said = [json.loads(choice.text) for choice in choices]
    assert [list(answer) for answer in said] == [["sure", "ok"]] * 2
    assert {type(value) for answer in said for value in answer.values()} == {bool}
    assert result(ended(tiny, plain)).logprobs is None


def test_a_form_that_cannot_be_had_fails_its_job_alone_and_for_good(tiny: Bench) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "it", "schema": {"type": "nothing"}}}
    bad, good = submit(tiny, response_format=form), submit(tiny)
    view = ended(tiny, bad)  # as if the router had let it through
    assert (view.state, view.error_code, view.attempt) == ("failed", "invalid_request", 1)
    assert ended(tiny, good).state == "succeeded"
