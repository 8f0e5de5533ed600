"""What cannot be honoured is refused by its name, and what is neutral is not."""

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.acceptance.openai_calls import chat, refusal


@pytest.mark.parametrize(
    ("field", "value"),
    [
        # The echo engine writes no forms; a model does.
        ("response_format", {"type": "json_object"}),
        ("tools", [{"type": "function", "function": {"name": "f"}}]), ("tool_choice", "required"),
        ("modalities", ["audio"]), ("audio", {}), ("reasoning_effort", "high"),
        ("verbosity", "low"), ("web_search_options", {}), ("functions", [{"name": "f"}]),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(
    client: OpenAI, field: str, value: object
) -> None:
    told = refusal(openai.BadRequestError, lambda: chat(client, extra_body={field: value}))
    assert told == (400, "unsupported_parameter", field)


def test_neutral_values_are_no_reason_to_refuse(client: OpenAI) -> None:
    neutral = {
        "n": 1, "logprobs": False, "response_format": {"type": "text"}, "presence_penalty": 0,
        "frequency_penalty": 0.0, "logit_bias": {}, "tools": [], "tool_choice": "auto",
        "top_logprobs": None, "modalities": ["text"], "parallel_tool_calls": True,
        "prompt_cache_key": "k", "safety_identifier": "me",
    }  # fmt: skip
    assert chat(client, extra_body=neutral).choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"temperature": "hot"}, "invalid_value", "temperature"),
        ({"temperature": 3}, "invalid_value", "temperature"),
        ({"top_k": 5}, "unknown_parameter", "top_k"),
        ({"messages": None}, "invalid_value", "messages"),
        ({"messages": []}, "invalid_value", "messages"),
        ({"messages": [{"role": "tool", "content": ""}]}, "unsupported_value", "messages.0.role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "unsupported_value",
            "messages.0.content",
        ),
        (
            {"messages": [{"role": "user", "content": "", "name": "ann"}]},
            "unsupported_parameter",
            "messages.0.name",
        ),
        ({"service_tier": "scale"}, "unsupported_value", "service_tier"),
        ({"stream_options": {"include_usage": True}}, "invalid_value", "stream_options"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "invalid_value", "max_tokens"),
        ({"max_tokens": 100_000}, "context_length_exceeded", "max_tokens"),
        (
            {"max_tokens": None, "max_completion_tokens": 100_000},
            "context_length_exceeded",
            "max_completion_tokens",
        ),
        (
            {"messages": [{"role": "user", "content": "x" * 9_000}]},
            "context_length_exceeded",
            "messages",
        ),
        ({"n": True}, "invalid_value", "n"),
        ({"n": 17}, "invalid_value", "n"),
        ({"top_logprobs": 3}, "invalid_value", "top_logprobs"),
        ({"response_format": {"type": "json"}}, "invalid_value", "response_format"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_field_is_a_bad_request_that_names_it(
    client: OpenAI, changes: dict[str, Any], code: str, param: str
) -> None:
    told = refusal(openai.BadRequestError, lambda: chat(client, extra_body=changes))
    assert told == (400, code, param)
