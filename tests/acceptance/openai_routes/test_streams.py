"""Streams carry what the whole answer has, to the sync and the async client alike."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from tests.acceptance.openai_calls import HELLO, chat, complete


def test_the_async_client_works_alike(client: OpenAI) -> None:
    async def all_of() -> list[str]:
        async with AsyncOpenAI(base_url=client.base_url, api_key=client.api_key) as other:

            async def one() -> str:
                made = await other.chat.completions.create(model="echo", messages=HELLO)
                return made.choices[0].message.content or ""

            async def streamed() -> str:
                chunks = await other.chat.completions.create(
                    model="echo", messages=HELLO, stream=True
                )
                return "".join([c.choices[0].delta.content or "" async for c in chunks])

            return list(await asyncio.gather(one(), streamed(), one()))

    texts = asyncio.run(all_of())
    assert len(set(texts)) == 1
    assert texts[0].startswith("user: hello")


def told(client: OpenAI, route: str, **asked: Any) -> tuple[list[Any], list[Any]]:
    """The chunks that the sync and the async client hear of the same request."""

    async def slowly() -> list[Any]:
        async with AsyncOpenAI(base_url=client.base_url, api_key=client.api_key) as other:
            creates: Any = {"chat": other.chat.completions.create, "text": other.completions.create}
            stream: AsyncIterator[Any] = await creates[route](model="echo", stream=True, **asked)
            return [chunk async for chunk in stream]

    create: Any = {"chat": client.chat.completions.create, "text": client.completions.create}
    return list(create[route](model="echo", stream=True, **asked)), asyncio.run(slowly())


def text_of(chunks: list[Any], index: int) -> str:
    choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
    return "".join(
        choice.text if hasattr(choice, "text") else choice.delta.content or "" for choice in choices
    )


CONTENT = "one two three four five six seven"
STOPPED = "one two three four fi"
ALL: dict[str, Any] = {
    "stop": ["ve six", "never", "our z", CONTENT + " eight"], "seed": 7, "user": "ann",
    "logit_bias": {"104": 5}, "stream_options": {"include_usage": True}, "n": 3,
    "presence_penalty": 1, "frequency_penalty": -1, "temperature": 0.5, "top_p": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("route", ["chat", "text"])
def test_stops_across_chunks_several_choices_and_usage(client: OpenAI, route: str) -> None:
    asked: dict[str, Any] = ALL | {"max_tokens": 60}
    if route == "chat":
        asked |= {"messages": [{"role": "user", "content": CONTENT}], "service_tier": "priority"}
    else:
        asked |= {"prompt": CONTENT}
    # The engine tells one byte a step, so every stop string comes in pieces.
    expected = ("user: " if route == "chat" else "") + STOPPED
    for chunks in told(client, route, **asked):
        assert [text_of(chunks, index) for index in range(3)] == [expected] * 3
        pieces = [c for chunk in chunks for c in chunk.choices if c.index == 0]
        assert [c.finish_reason for c in pieces if c.finish_reason] == ["stop"]
        *others, last = chunks
        assert last.choices == []
        assert [chunk.usage for chunk in others] == [None] * len(others)
        assert last.usage.completion_tokens == 3 * (len(expected) + len("ve six"))
    del asked["stream_options"]
    whole = chat(client, **asked) if route == "chat" else complete(client, **asked)
    assert whole.usage == last.usage


def test_without_usage_the_last_chunk_has_a_choice(client: OpenAI) -> None:
    for chunks in told(client, "chat", messages=HELLO):
        assert chunks[-1].choices[0].finish_reason == "stop"
        assert all(chunk.usage is None for chunk in chunks)
