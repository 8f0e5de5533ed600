"""Responses that go on from earlier ones, and what each was asked, with the real client."""

from collections.abc import Callable
from functools import partial
from typing import Any

import openai
import pytest
from openai import OpenAI

from api.openai.answers import InputItems, ResponseObject
from tests.acceptance.openai_calls import job_of
from tests.stack import Stack


def respond(client: OpenAI, said: Any = "hello", **more: Any) -> Any:
    return client.responses.create(model="echo", input=said, **more)


def refusal(of: type[openai.APIStatusError], call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(of) as caught:
        call()
    return caught.value.code or "", caught.value.param or ""


def texts(items: Any) -> list[tuple[str, str]]:
    return [(item.role, item.content[0].text) for item in items]


def test_a_chain_of_responses_is_the_conversation_that_it_reads_as(client: OpenAI) -> None:
    first = respond(client, "one", instructions="be short")
    again = respond(client, "two", previous_response_id=first.id, max_output_tokens=4_000)
    third = respond(
        client, [{"role": "user", "content": "three"}], previous_response_id=again.id,
        instructions="be long", max_output_tokens=8,
    )  # fmt: skip
    assert third.previous_response_id == again.id
    # The echo engine answers with its prompt: instructions are each response's own.
    said = f"user: one\nassistant: {first.output_text}\nuser: two"
    assert again.output_text.startswith(said)
    assert third.status == "incomplete"
    asked = texts(client.responses.input_items.list(third.id, order="asc", limit=100))
    assert asked == [
        ("user", "one"), ("assistant", first.output_text), ("user", "two"),
        ("assistant", again.output_text), ("user", "three"),
    ]  # fmt: skip
    assert client.responses.retrieve(third.id) == third


def test_a_chain_is_what_sending_the_whole_conversation_is(client: OpenAI, stack: Stack) -> None:
    first = respond(client, "one")
    chained = respond(client, "two", previous_response_id=first.id)
    sent = respond(
        client,
        [{"role": "user", "content": "one"}, *[item.model_dump() for item in first.output],
         {"role": "user", "content": [{"type": "input_text", "text": "two"}]}],
    )  # fmt: skip
    assert (chained.output_text, chained.usage) == (sent.output_text, sent.usage)


def test_only_an_answer_of_this_tenant_that_was_stored_is_gone_on_from(
    client: OpenAI, stack: Stack
) -> None:
    other = client.with_options(api_key=stack.command("api.bootstrap", "--tenant", "else").strip())
    mine, unstored = respond(client), respond(client, store=False)
    chat = client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "x"}])
    strange = ["resp_x", "nothing", "resp_" + "0" * 32, unstored.id, "resp_" + chat.id[9:]]
    for asking, id in [*((client, id) for id in strange), (other, mine.id)]:
        call = partial(respond, asking, previous_response_id=id)
        told = refusal(openai.BadRequestError, call)
        assert told == ("previous_response_not_found", "previous_response_id")
    waiting = client.responses.create(model="quiet", input="hello", background=True)
    call = partial(respond, client, previous_response_id=waiting.id)
    assert refusal(openai.BadRequestError, call) == ("invalid_request", "previous_response_id")
    client.responses.cancel(waiting.id)
    assert refusal(openai.BadRequestError, call) == ("invalid_request", "previous_response_id")


def test_a_chain_outlives_what_was_erased_before_it(client: OpenAI) -> None:
    first = respond(client, "one", max_output_tokens=8)
    again = respond(client, "two", previous_response_id=first.id)
    client.responses.delete(first.id)
    call = partial(respond, client, previous_response_id=first.id)
    told = refusal(openai.BadRequestError, call)
    assert told == ("previous_response_not_found", "previous_response_id")
    with pytest.raises(openai.APIStatusError) as caught:
        client.responses.input_items.list(first.id)
    assert (caught.value.status_code, caught.value.code) == (410, "job_erased")
    third = respond(client, "three", previous_response_id=again.id, max_output_tokens=1)
    assert [said for _, said in texts(client.responses.input_items.list(third.id))][-1] == "one"


def test_a_conversation_is_bounded_by_messages_and_by_the_context(client: OpenAI) -> None:
    turns: Any = [{"role": "user", "content": ""}] * 600
    first = respond(client, turns, max_output_tokens=1)
    call = partial(respond, client, turns, previous_response_id=first.id)
    assert refusal(openai.BadRequestError, call) == ("invalid_request", "previous_response_id")
    half = respond(client, "x" * 5_000, max_output_tokens=1)
    call = partial(respond, client, "x" * 5_000, previous_response_id=half.id)
    assert refusal(openai.BadRequestError, call) == ("context_length_exceeded", "input")


def test_input_items_come_in_pages(client: OpenAI, stack: Stack) -> None:
    turns: Any = [
        {"role": "developer", "content": "a"},
        {"role": "user", "content": [{"type": "input_text", "text": "b"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
        {"role": "user", "content": "d", "type": "message"},
    ]
    made = respond(client, turns, instructions="not an item")
    newest = client.responses.input_items.list(made.id, limit=3)
    assert [text for _, text in texts(newest.data)] == ["d", "c", "b"]
    assert newest.has_more
    assert texts(newest) == [("user", "d"), ("assistant", "c"), ("user", "b"), ("system", "a")]
    oldest = client.responses.input_items.list(made.id, order="asc", after=newest.data[1].id)
    assert ([text for _, text in texts(oldest.data)], oldest.has_more) == (["d"], False)
    raw = stack.http.get(f"/v1/responses/{made.id}/input_items", params={"limit": 100})
    page = InputItems.model_validate_json(raw.text, strict=True)
    assert page.first_id == newest.data[0].id
    [alone] = client.responses.input_items.list(respond(client, "only").id)
    assert texts([alone]) == [("user", "only")]


def test_what_is_wrong_with_a_page_is_said(client: OpenAI) -> None:
    made = respond(client)
    for options, param in (({"limit": 0}, "limit"), ({"limit": 101}, "limit"),
                           ({"order": "up"}, "order"), ({"after": "msg_x"}, "after")):  # fmt: skip
        page: Any = options
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.input_items.list(made.id, **page)
        assert caught.value.param == param
    call = lambda: client.responses.input_items.list("resp_" + "0" * 32)  # noqa: E731
    assert refusal(openai.NotFoundError, call) == ("response_not_found", "response_id")


def test_logprobs_of_a_response_stand_in_its_text(client: OpenAI, stack: Stack) -> None:
    made = respond(client, include=["message.output_text.logprobs"], top_logprobs=1)
    told = made.output[0].content[0].logprobs
    assert "".join(one.token for one in told).replace("<|end|>", "") == made.output_text
    assert [(one.logprob, len(one.top_logprobs)) for one in told] == [(0, 1)] * len(told)
    again: Any = client.responses.retrieve(made.id, include=["message.output_text.logprobs"])
    assert again.output[0].content[0].logprobs == told
    raw = stack.http.get(f"/v1/responses/{made.id}")
    assert ResponseObject.model_validate_json(raw.text, strict=True).top_logprobs == 1
    assert respond(client).output[0].content[0].logprobs == []
    events = list(respond(client, include=["message.output_text.logprobs"], stream=True))
    done = next(event for event in events if event.type == "response.output_text.done")
    assert [one.token for one in done.logprobs] == [one.token for one in told]
    assert events[-1].response.output[0].content[0].logprobs == events[-2].item.content[0].logprobs


def test_deltas_of_a_response_bring_their_tokens_logprobs(client: OpenAI) -> None:
    asked: Any = {"include": ["message.output_text.logprobs"], "stream": True}
    events = list(respond(client, "so many words that it takes some steps", **asked))
    deltas = [event for event in events if event.type == "response.output_text.delta"]
    done = next(event for event in events if event.type == "response.output_text.done")
    told = [one.token for delta in deltas for one in delta.logprobs]
    everything = [one.token for one in done.logprobs]
    assert told == everything[: len(told)]
    assert set(everything[len(told) :]) <= {"<|end|>"}  # which adds no text
    assert "".join(told).replace("<|end|>", "") == done.text
    assert all(delta.logprobs for delta in deltas)
    # Who comes back in the middle is told them at the end.
    later: list[Any] = list(client.responses.retrieve(
        events[-1].response.id, stream=True, starting_after=deltas[0].sequence_number,
        include=["message.output_text.logprobs"]))  # fmt: skip
    assert all(not e.logprobs for e in later if e.type == "response.output_text.delta")
    assert [e.logprobs for e in later if e.type == done.type] == [done.logprobs]


def test_a_form_of_text_is_the_jobs_form(client: OpenAI, stack: Stack) -> None:
    plain = respond(client, text={"format": {"type": "text"}, "verbosity": "medium"})
    assert plain.text.format.type == "text"
    assert job_of(stack, plain.id.replace("_", "-"))["status"] == "succeeded"
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    for form, param in (
        ({"type": "json_object"}, "text.format"),
        ({"type": "json_schema", "name": "it", "schema": schema, "strict": True},
         "text.format"),
        ({"type": "json_schema", "name": "it"}, "text.format.schema"),
        ({"type": "yaml"}, "text.format"),
    ):  # fmt: skip
        call = partial(respond, client, text={"format": form})
        told = refusal(openai.BadRequestError, call)
        assert told[1] == param
