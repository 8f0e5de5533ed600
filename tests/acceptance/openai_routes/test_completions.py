"""The real openai client has prompts continued: texts, and token ids."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.acceptance.openai_calls import complete, job_of, jobs, refusal
from tests.stack import Stack


def test_completions_answer_every_prompt_in_order(client: OpenAI) -> None:
    said = complete(client, ["a", "bb", "ccc"], echo=True)
    assert [choice.text for choice in said.choices] == ["aa", "bbbb", "cccccc"]
    assert [choice.index for choice in said.choices] == [0, 1, 2]
    assert said.usage.prompt_tokens == 6


def test_a_completion_has_sixteen_tokens_unless_told_otherwise(client: OpenAI) -> None:
    assert len(complete(client, "x" * 40).choices[0].text) == 16
    assert len(complete(client, "x" * 40, max_tokens=None).choices[0].text) == 40


def test_completions_stream_every_prompt(client: OpenAI) -> None:
    stream = complete(client, ["a\u2028b", "cd"], echo=True, stream=True)
    text = {0: "", 1: ""}
    for chunk in stream:
        text[chunk.choices[0].index] += chunk.choices[0].text
    assert text == {0: "a\u2028ba\u2028b", 1: "cdcd"}


def test_a_stream_is_understood_by_clients_that_end_lines_where_unicode_does(stack: Stack) -> None:
    body = {"model": "echo", "prompt": "a\u2028b\x85c", "stream": True}
    with stack.http.stream("POST", "/v1/completions", json=body) as answer:
        *lines, last = [line for line in answer.iter_lines() if line and line[0] != ":"]
    assert last == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "a\u2028b\x85c"


def test_several_completions_of_several_prompts_come_in_order(client: OpenAI) -> None:
    answer = complete(client, ["one", "two"], n=2)
    assert [(one.index, one.text) for one in answer.choices] == [
        (0, "one"), (1, "one"), (2, "two"), (3, "two"),
    ]  # fmt: skip


def test_the_same_idempotency_key_is_the_same_work(client: OpenAI, stack: Stack) -> None:
    headers = {"Idempotency-Key": "once"}
    first = complete(client, ["a", "b"], extra_headers=headers)
    assert [choice.text for choice in first.choices] == ["a", "b"]
    before = jobs(stack)
    assert complete(client, ["a", "b"], extra_headers=headers) == first
    assert jobs(stack) == before
    again = refusal(
        openai.UnprocessableEntityError, lambda: complete(client, "c", extra_headers=headers)
    )
    assert again == (422, "idempotency_key_reused", "Idempotency-Key")


def test_prompts_of_token_ids_are_continued_like_their_text(
    client: OpenAI, stack: Stack, ids: Callable[[str], list[int]]
) -> None:
    hello = ids("hello")
    alone = complete(client, hello, echo=True)
    assert [choice.text for choice in alone.choices] == ["hellohello"]
    both = complete(client, [hello, ids("you")], n=2)
    assert [choice.text for choice in both.choices] == ["hello", "hello", "you", "you"]
    assert both.usage.prompt_tokens == complete(client, ["hello", "you"], n=2).usage.prompt_tokens
    assert job_of(stack, alone.id)["result"]["text"] == "hello"
    chunks = complete(client, hello, stream=True, echo=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "hellohello"


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        ([], "prompt"), ([[]], "prompt.0"), ([[1], "a", []], "prompt.2"), ([1, "a"], "prompt.1"),
        ([1, -1], "prompt.1"), ([1, 2**31], "prompt.1"), ([104, 300_000], "prompt"),
        ([[1.5]], "prompt.0.0"), ([""], "prompt.0"), ([None], "prompt.0"),
    ],
)  # fmt: skip
def test_a_prompt_that_is_none_is_refused_by_its_place(
    client: OpenAI, prompt: Any, param: str
) -> None:
    status, _, named = refusal(openai.BadRequestError, lambda: complete(client, prompt))
    assert (status, named) == (400, param)


def test_a_long_prompt_of_ids_is_bounded_by_the_context(client: OpenAI) -> None:
    told = refusal(openai.BadRequestError, lambda: complete(client, [104] * 20_000))
    assert told == (400, "context_length_exceeded", "prompt")


def test_all_completions_are_the_best_of_as_many(client: OpenAI) -> None:
    assert len(complete(client, n=2, best_of=2).choices) == 2
    told = refusal(openai.BadRequestError, lambda: complete(client, best_of=3))
    assert told == (400, "unsupported_parameter", "best_of")
