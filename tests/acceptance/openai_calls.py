"""How the tests of OpenAI's routes ask, and what they look up beside."""

from collections.abc import Callable
from typing import Any, cast

import openai
import pytest
from openai import OpenAI

from tests.stack import Stack

HELLO: Any = [{"role": "user", "content": "hello"}]
LONG = "one two three four five six seven eight nine ten " * 6


def chat(client: OpenAI, **more: Any) -> Any:
    given: dict[str, Any] = {"model": "echo", "messages": HELLO, "max_tokens": 32} | more
    return client.chat.completions.create(**given)


def complete(client: OpenAI, prompt: Any = "hello", **more: Any) -> Any:
    return client.completions.create(model="echo", prompt=prompt, **more)


def job_of(stack: Stack, id: str) -> dict[str, Any]:
    answer = stack.http.get(f"/v1/jobs/{id.partition('-')[2]}")
    assert answer.status_code == 200, answer.text
    return cast(dict[str, Any], answer.json())


def jobs(stack: Stack) -> list[str]:
    return [job["id"] for job in stack.http.get("/v1/jobs", params={"limit": 100}).json()["data"]]


def refusal(of: type[openai.APIStatusError], call: Callable[[], object]) -> tuple[int, str, str]:
    """Status, code and param of what the client raised."""
    with pytest.raises(of) as caught:
        call()
    assert caught.value.request_id
    assert caught.value.message
    return caught.value.status_code, caught.value.code or "", caught.value.param or ""
