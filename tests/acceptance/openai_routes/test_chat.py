"""The real openai client chats over the running stack."""

import pytest
from openai import OpenAI

from api.openai.answers import ChatCompletion, TextCompletion
from tests.acceptance.openai_calls import HELLO, chat, job_of
from tests.stack import Stack


def test_a_chat_is_answered_by_a_job_of_the_interactive_class(client: OpenAI, stack: Stack) -> None:
    said = chat(client, metadata={"for": "test"}, user="me", store=True)
    assert said.object == "chat.completion"
    assert said.choices[0].message.content.startswith("user: hello")
    assert said.choices[0].finish_reason == "stop"
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    assert (said.model, said.service_tier) == ("echo@1", "default")
    assert said._request_id.startswith("req_")
    job = job_of(stack, said.id)
    assert (job["priority"], job["metadata"]) == ("interactive", {"for": "test"})
    assert job["result"]["text"] == said.choices[0].message.content


def test_answers_are_what_the_openapi_document_says(stack: Stack) -> None:
    body = {"model": "echo", "messages": HELLO}
    said = stack.http.post("/v1/chat/completions", json=body)
    ChatCompletion.model_validate_json(said.text, strict=True)
    said = stack.http.post("/v1/completions", json={"model": "echo", "prompt": "hello"})
    TextCompletion.model_validate_json(said.text, strict=True)
    document = stack.http.get("/openapi/openapi.json").json()
    assert document["components"]["schemas"]["ChatRequest"]["properties"]["tools"]["enum"] == [
        None,
        [],
    ]
    paths = document["paths"]
    made = paths["/v1/chat/completions"]["post"]
    assert made["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "/ChatRequest"
    )
    assert set(made["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"/v1/completions", "/v1/responses", "/v1/responses/{response_id}"} <= set(paths)


def test_without_a_limit_a_chat_goes_on_as_far_as_the_context_allows(client: OpenAI) -> None:
    long = [{"role": "user", "content": "x" * 200}]
    said = chat(client, messages=long, max_tokens=None)
    assert said.usage.completion_tokens > 200
    assert said.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_under_either_name_cuts_the_answer(client: OpenAI, limit: str) -> None:
    said = chat(client, **{"max_tokens": None, limit: 4})
    assert said.usage.completion_tokens == 4
    assert said.choices[0].finish_reason == "length"


def test_roles_parts_and_stop_strings(client: OpenAI) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [
        {"role": "developer", "content": "short"},
        {"role": "assistant", "content": "so far", "refusal": None, "tool_calls": None},
        {"role": "user", "content": parts},
    ]
    said = chat(client, messages=messages, max_tokens=200, seed=-7, temperature=0, stop="two")
    assert said.choices[0].message.content == "system: short\nassistant: so far\nuser: one\n"
    assert said.choices[0].finish_reason == "stop"


def test_a_chat_streams_role_text_reason_and_usage(client: OpenAI) -> None:
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    *middle, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert (usage.choices, [chunk.usage for chunk in middle]) == ([], [None] * len(middle))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    whole = chat(client)
    assert (text, usage.usage) == (whole.choices[0].message.content, whole.usage)


def test_a_flex_chat_is_a_job_of_the_batch_class(client: OpenAI, stack: Stack) -> None:
    said = chat(client, service_tier="flex")
    assert said.service_tier == "flex"
    assert job_of(stack, said.id)["priority"] == "batch"


def test_several_completions_are_streamed_by_their_index(client: OpenAI) -> None:
    texts, ends = ["", ""], []
    for chunk in chat(client, stream=True, n=2):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ends.append((choice.index, choice.finish_reason))
    whole = chat(client, n=2)
    assert texts == [one.message.content for one in whole.choices]
    assert ends == [(0, "stop"), (1, "stop")]
