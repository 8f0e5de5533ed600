"""Logprobs through the real openai client: whole, streamed, and of prompts.

The echo engine is certain of every token; what models think is compared in
`test_stack_smollm2.py` and in the engine's own tests.
"""

from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI
from redis import Redis

from api.openai.answers import TextCompletion
from tests.acceptance.openai_calls import LONG, chat, complete, refusal
from tests.stack import Stack


def test_logprobs_of_chats_and_of_completions(client: OpenAI) -> None:
    told = chat(client, logprobs=True, top_logprobs=1).choices[0]
    written = "".join(one.token for one in told.logprobs.content)
    assert written.replace("<|end|>", "") == told.message.content
    assert all(one.logprob == 0 == one.top_logprobs[0].logprob for one in told.logprobs.content)
    columns = complete(client, "hello", logprobs=1).choices[0].logprobs
    assert "".join(columns.tokens) == "hello"
    assert columns.text_offset == [0, 1, 2, 3, 4]
    assert columns.top_logprobs[0] == {"h": 0.0}


def of_chunks(chunks: Any) -> dict[int, list[Any]]:
    """The entries that came in chunks, by choice; no text without those of its tokens."""
    found: dict[int, list[Any]] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            if choice.logprobs is not None:
                found.setdefault(choice.index, []).extend(choice.logprobs.content)
            else:
                assert not choice.delta.content
    return found


def test_chunks_of_a_chat_have_the_logprobs_of_the_whole(client: OpenAI) -> None:
    asked: Any = {"logprobs": True, "top_logprobs": 2, "n": 2}
    asked["messages"] = [{"role": "user", "content": "h\u00e9llo \U0001f600"}]
    whole = {one.index: one.logprobs.content for one in chat(client, **asked).choices}
    assert of_chunks(chat(client, stream=True, **asked)) == whole


@pytest.mark.parametrize("flushed", [False, True], ids=["redis", "redis-lost"])
def test_a_stream_is_complete_whatever_redis_loses(
    client: OpenAI, redis_url: str, flushed: bool
) -> None:
    prompt = LONG[:120]
    whole = complete(client, prompt, max_tokens=120, logprobs=1).choices[0].logprobs
    columns: dict[str, list[Any]] = {}
    seen = 0
    for chunk in complete(client, prompt, max_tokens=120, logprobs=1, stream=True):
        seen += 1
        if flushed and seen == 10:
            Redis.from_url(redis_url).flushall()
        told = chunk.choices[0].logprobs
        for name, column in (told.model_dump() if told else {}).items():
            columns.setdefault(name, []).extend(column)
    assert seen > 10
    assert columns == whole.model_dump()


def test_a_prompt_is_scored_without_generating(
    client: OpenAI, stack: Stack, ids: Callable[[str], list[int]]
) -> None:
    made = complete(client, [ids("hello"), "yes"], echo=True, logprobs=1, max_tokens=0)
    assert [choice.text for choice in made.choices] == ["hello", "yes"]
    assert [choice.finish_reason for choice in made.choices] == ["length", "length"]
    assert (made.usage.completion_tokens, made.usage.prompt_tokens) == (0, 8)
    told = made.choices[0].logprobs
    assert told.tokens == list("hello")
    assert told.token_logprobs == [None, 0, 0, 0, 0]
    assert told.top_logprobs == [None, {"e": 0}, {"l": 0}, {"l": 0}, {"o": 0}]
    assert told.text_offset == [0, 1, 2, 3, 4]
    body = {"model": "echo", "prompt": "h", "echo": True, "logprobs": 0, "max_tokens": 0}
    TextCompletion.model_validate_json(
        stack.http.post("/v1/completions", json=body).text, strict=True
    )


def test_an_echoed_prompt_and_its_continuation_are_one_row_of_tokens(
    client: OpenAI, ids: Callable[[str], list[int]]
) -> None:
    """As lm-eval reads it: what belongs to the continuation is [context:-1]."""
    made = complete(client, [ids("context"), ids("other")], max_tokens=1, echo=True, logprobs=1,
                    temperature=0, seed=1234)  # fmt: skip
    for choice, text in zip(made.choices, ("contextc", "othero"), strict=True):
        assert choice.text == text
        assert choice.logprobs.tokens == list(text)
        assert choice.logprobs.token_logprobs == [None] + [0.0] * (len(text) - 1)
        assert choice.logprobs.text_offset == list(range(len(text)))


def test_half_characters_and_special_tokens_have_their_places(client: OpenAI) -> None:
    text = "\u00e9<|end|>x"
    told = complete(client, text, max_tokens=0, echo=True, logprobs=0).choices[0].logprobs
    assert told.tokens == ["\ufffd", "\ufffd", "<|end|>", "x"]
    assert told.text_offset == [0, 0, 1, 8]


def test_streams_tell_nothing_of_an_echoed_prompt(client: OpenAI) -> None:
    call = lambda: complete(client, echo=True, logprobs=1, stream=True)  # noqa: E731
    assert refusal(openai.BadRequestError, call) == (400, "unsupported_parameter", "logprobs")


def test_a_native_job_has_the_logprobs_of_its_prompt(stack: Stack) -> None:
    body = {
        "task": "chat", "model": "echo", "input": {"messages": [{"role": "user", "content": "hi"}]},
        "parameters": {"max_tokens": 0, "prompt_logprobs": 0},
    }  # fmt: skip
    made = stack.http.post("/v1/jobs", json=body, headers={"Prefer": "wait=20"}).json()
    told = made["result"]
    assert (told["text"], told["finish_reason"], told["logprobs"]) == ("", "length", None)
    first, *others = told["prompt_logprobs"]
    assert (first["token"], first["logprob"], first["top_logprobs"]) == ("u", None, [])
    assert all((one["logprob"], one["top_logprobs"]) == (0, []) for one in others)
    assert 1 + len(others) == told["usage"]["prompt_tokens"]
