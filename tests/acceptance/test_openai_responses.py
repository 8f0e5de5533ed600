"""/v1/responses with the real openai client, and streams whose worker dies."""

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from redis import Redis

from api.openai.answers import ResponseObject
from tests.conditions import eventually
from tests.stack import Stack

LONG = "one two three four five six seven eight nine ten " * 6
TEXT_BEGINS = 4  # the number of the last event before the first text


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("responses"),
        database_url=module_database_url,
        redis_url=redis_url,
        LMAAS_DEVICE="cpu",
        LMAAS_ECHO_TOKENS_PER_S="100",
        LMAAS_RESTART_PAUSE_S="0.1",
    )
    started.command("models_store", "echo")
    started.start("web", "dispatcher", "worker")
    started.ready()
    yield started
    started.close()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0) as made:
        yield made


def respond(client: OpenAI, text: Any = "hello", **more: Any) -> Any:
    return client.responses.create(model="echo", input=text, **more)


def ended(client: OpenAI, id: str) -> Any:
    """Polls as OpenAI's guide does."""

    def look() -> Any:
        read = client.responses.retrieve(id)
        return None if read.status in ("queued", "in_progress") else read

    return eventually(look, within_s=20)


def text_of(events: list[Any]) -> str:
    return "".join(e.delta for e in events if e.type == "response.output_text.delta")


def until_text(stream: Any, characters: int) -> list[Any]:
    """The events up to that much text."""
    seen: list[Any] = []
    for event in stream:
        seen.append(event)
        if len(text_of(seen)) >= characters:
            return seen
    raise AssertionError(f"only {text_of(seen)!r} came")


def refusal(of: type[openai.APIStatusError], call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(of) as caught:
        call()
    return caught.value.code or "", caught.value.param or ""


def test_a_text_is_answered_and_can_be_read_again(client: OpenAI, stack: Stack) -> None:
    made = respond(client, instructions="be short", temperature=0.5, metadata={"for": "test"})
    assert made.output_text.startswith("system: be short\nuser: hello")
    assert (made.status, made.model, made.object) == ("completed", "echo@1", "response")
    assert (made.instructions, made.temperature, made.top_p) == ("be short", 0.5, 1.0)
    assert made.usage.total_tokens == made.usage.input_tokens + made.usage.output_tokens
    assert made.metadata == {"for": "test"}
    assert client.responses.retrieve(made.id) == made
    raw = stack.http.get(f"/v1/responses/{made.id}")
    ResponseObject.model_validate_json(raw.text, strict=True)
    job = stack.http.get(f"/v1/jobs/{made.id.removeprefix('resp_')}").json()
    assert job["result"]["text"] == made.output_text


def test_a_conversation_goes_on_from_what_was_output_before(client: OpenAI) -> None:
    first = respond(client)
    turns = [
        {"role": "developer", "content": [{"type": "input_text", "text": "short"}]},
        *[item.model_dump() for item in first.output],
        {"role": "user", "content": "again", "type": "message"},
    ]
    said = respond(client, turns).output_text
    assert said.startswith(f"system: short\nassistant: {first.output_text}\nuser: again")


def test_an_answer_that_was_cut_off_is_incomplete(client: OpenAI) -> None:
    made = respond(client, max_output_tokens=3)
    assert made.status == "incomplete"
    assert made.incomplete_details.reason == "max_output_tokens"
    assert made.output[0].status == "incomplete"


def test_a_stream_tells_the_events_that_the_client_knows(client: OpenAI) -> None:
    events = list(respond(client, stream=True))
    names = [event.type.removeprefix("response.") for event in events]
    pieces = names.count("output_text.delta")
    assert names == [
        "created", "queued", "in_progress", "output_item.added", "content_part.added",
        *["output_text.delta"] * pieces,
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    last = events[-1].response
    assert text_of(events) == last.output_text == events[-4].text
    assert client.responses.retrieve(last.id) == last
    assert events[0].response.status == "queued"
    assert events[0].response.output == []


def test_the_clients_own_accumulators_understand_the_streams(client: OpenAI) -> None:
    with client.responses.stream(model="echo", input="hello") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.output_text == respond(client).output_text
    messages: Any = [{"role": "user", "content": "hello"}]
    with client.chat.completions.stream(model="echo", messages=messages) as chunks:
        chunks.until_done()
        said = chunks.get_final_completion().choices[0].message.content
    assert said == final.output_text


def test_a_background_response_is_polled(client: OpenAI) -> None:
    made = respond(client, background=True)
    assert (made.status, made.background, made.output) == ("queued", True, [])
    done = ended(client, made.id)
    assert done.status == "completed"
    assert done.output_text.startswith("user: hello")


def test_a_background_response_is_cancelled_with_its_text_so_far(client: OpenAI) -> None:
    stream = respond(client, LONG, background=True, stream=True)
    seen = until_text(stream, 10)
    gone = client.responses.cancel(seen[0].response.id)
    assert gone.status == "cancelled"
    assert gone.output_text.startswith(text_of(seen))
    assert len(gone.output_text) < len(LONG)
    assert client.responses.cancel(gone.id) == gone
    rest = list(stream)
    assert (rest[-1].type, rest[-1].response.status) == ("response.incomplete", "cancelled")


@pytest.mark.parametrize("flushed", [False, True], ids=["redis", "redis-lost"])
def test_a_background_stream_is_taken_up_again_after_any_number(
    client: OpenAI, redis_url: str, flushed: bool
) -> None:
    stream = respond(client, LONG, background=True, stream=True)
    seen = until_text(stream, 40)
    stream.close()
    id = seen[0].response.id
    if flushed:
        Redis.from_url(redis_url).flushall()
    after = seen[-1].sequence_number
    rest = list(client.responses.retrieve(id, stream=True, starting_after=after))
    whole = ended(client, id).output_text
    assert text_of(seen) + text_of(rest) == whole
    assert rest[-1].type == "response.completed"
    assert rest[0].sequence_number > after
    everything = list(client.responses.retrieve(id, stream=True))
    assert text_of(everything) == whole
    for after in (0, TEXT_BEGINS, TEXT_BEGINS + 7, everything[-4].sequence_number):
        tail = list(client.responses.retrieve(id, stream=True, starting_after=after))
        assert text_of(tail) == whole[max(0, after - TEXT_BEGINS) :]
        assert tail[-1] == everything[-1]
        assert [e for e in everything if e.sequence_number > after][-3:] == tail[-3:]


def test_a_reader_that_goes_away_cancels_unless_it_runs_in_the_background(
    client: OpenAI,
) -> None:
    stream = respond(client, LONG, stream=True)
    [first, *_] = until_text(stream, 5)
    stream.close()
    assert ended(client, first.response.id).status == "cancelled"


def test_an_idempotency_key_keeps_the_job_of_a_reader_that_goes_away(client: OpenAI) -> None:
    headers = {"Idempotency-Key": "come-back"}
    stream = respond(client, LONG, stream=True, extra_headers=headers)
    [first, *_] = until_text(stream, 5)
    stream.close()
    again = list(respond(client, LONG, stream=True, extra_headers=headers))
    assert again[-1].response.id == first.response.id
    assert again[-1].response.status == "completed"


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"include": ["reasoning.encrypted_content"]}, "unsupported_value", "include.0"),
        ({"tools": [{"type": "web_search"}]}, "unsupported_parameter", "tools"),
        # The echo engine writes no forms; a model does.
        ({"text": {"format": {"type": "json_object"}}}, "unsupported_parameter", "text.format"),
        ({"text": {"verbosity": "low"}}, "unsupported_parameter", "text.verbosity"),
        ({"reasoning": {"effort": "high"}}, "unsupported_parameter", "reasoning"),
        ({"truncation": "auto"}, "unsupported_parameter", "truncation"),
        ({"conversation": "conv_1"}, "unsupported_parameter", "conversation"),
        ({"background": True, "store": False}, "invalid_value", "background"),
        ({"max_output_tokens": 100_000}, "context_length_exceeded", "max_output_tokens"),
        ({"input": [{"type": "function_call"}]}, "unsupported_value", "input.0.type"),
        ({"input": "x" * 9_000}, "context_length_exceeded", "input"),
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"best": 3}, "unknown_parameter", "best"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_honoured_is_refused_by_name(
    client: OpenAI, changes: dict[str, Any], code: str, param: str
) -> None:
    call = lambda: respond(client, extra_body=changes)  # noqa: E731
    assert refusal(openai.BadRequestError, call) == (code, param)


def test_only_what_was_stored_by_this_tenant_as_a_response_is_found(
    client: OpenAI, stack: Stack
) -> None:
    unstored = respond(client, store=False)
    messages: Any = [{"role": "user", "content": "hello"}]
    chat = client.chat.completions.create(model="echo", messages=messages)
    stored = respond(client)
    other = client.with_options(api_key=stack.command("api.bootstrap", "--tenant", "other").strip())
    strange = ["resp_x", "resp_" + "0" * 32, unstored.id, chat.id.replace("chatcmpl-", "resp_")]
    for asking, id in [*((client, id) for id in strange), (other, stored.id)]:
        for call in (asking.responses.retrieve, asking.responses.cancel):
            told = refusal(openai.NotFoundError, lambda call=call, id=id: call(id))  # type: ignore[misc]
            assert told == ("response_not_found", "response_id")


def test_a_stream_whose_worker_dies_ends_with_an_error_and_its_job_goes_on(
    client: OpenAI, stack: Stack
) -> None:
    messages: Any = [{"role": "user", "content": LONG}]
    chunks = client.chat.completions.create(model="echo", messages=messages, stream=True)
    events = respond(client, LONG, background=True, stream=True)
    chat_id = next(iter(chunks)).id
    assert next(c.choices[0].delta.content for c in chunks if c.choices[0].delta.content)
    seen = until_text(events, 5)
    [worker] = stack.http.get("/v1/workers").json()["data"]
    os.kill(worker["pid"], signal.SIGKILL)
    for stream in (chunks, events):
        with pytest.raises(openai.APIError) as caught:
            list(stream)
        assert caught.value.code == "attempt_lost"
        assert "/v1/jobs/" in caught.value.message
    job = stack.http.get(f"/v1/jobs/{chat_id.removeprefix('chatcmpl-')}", params={"wait": 30})
    assert (job.json()["status"], job.json()["attempt"]) == ("succeeded", 2)
    id = seen[0].response.id
    with pytest.raises(openai.APIError):  # what the reader has is void for ever
        list(client.responses.retrieve(id, stream=True, starting_after=seen[-1].sequence_number))
    again = list(client.responses.retrieve(id, stream=True))
    assert text_of(again) == ended(client, id).output_text
    numbers = [event.sequence_number for event in again]
    assert numbers == sorted(set(numbers))


def test_the_async_client_works_alike(client: OpenAI) -> None:
    async def both() -> tuple[str, str]:
        async with AsyncOpenAI(base_url=client.base_url, api_key=client.api_key) as other:
            whole = await other.responses.create(model="echo", input="hello")
            stream = await other.responses.create(model="echo", input="hello", stream=True)
            return whole.output_text, text_of([event async for event in stream])

    whole, streamed = asyncio.run(both())
    assert whole == streamed
