"""litellm against LMaaS."""

import asyncio
from typing import Any

import litellm

from tests.compat.programs.trying import FORM, KEY, MESSAGES, TEXTS, URL, alike, attempt, fits

HERE: dict[str, Any] = {"api_base": URL, "api_key": KEY, "max_retries": 0}
CHAT: dict[str, Any] = HERE | {"model": "openai/smollm2", "messages": MESSAGES, "temperature": 0}


def whole() -> str:
    answer: Any = litellm.completion(**CHAT, max_tokens=24)
    return answer.choices[0].message.content if answer.usage.completion_tokens else ""


def streamed() -> bool:
    chunks: Any = litellm.completion(**CHAT, max_tokens=24, stream=True,
                                     stream_options={"include_usage": True})  # fmt: skip
    told = list(chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in told if chunk.choices)
    return text == whole() and told[-1].usage.completion_tokens > 0


def together() -> bool:
    async def all_of_them() -> list[Any]:
        return await asyncio.gather(*(litellm.acompletion(**CHAT, max_tokens=8) for _ in range(8)))

    answers = asyncio.run(all_of_them())
    return len({answer.choices[0].message.content for answer in answers}) == 1


def formed() -> bool:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": FORM}}
    answer: Any = litellm.completion(**CHAT, max_tokens=80, response_format=form)
    return fits(answer.choices[0].message.content)


def choices() -> bool:
    answer: Any = litellm.completion(**CHAT | {"temperature": 1}, n=2, seed=3, max_tokens=8,
                                     logprobs=True, top_logprobs=2)  # fmt: skip
    first = answer.choices[0].logprobs.content[0]
    return len(answer.choices) == 2 and len(first.top_logprobs) == 2


def completed() -> bool:
    answer: Any = litellm.text_completion(
        model="text-completion-openai/smollm2", prompt="Once upon a time", max_tokens=12, **HERE
    )
    return bool(answer.choices[0].text)


def responded() -> bool:
    answer: Any = litellm.responses(model="openai/smollm2", input="Say hello.",
                                    max_output_tokens=12, **HERE)  # fmt: skip
    return bool(answer.output[0].content[0].text)


def embedded() -> bool:
    answer: Any = litellm.embedding(model="openai/minilm", input=TEXTS, **HERE)
    return alike([item["embedding"] for item in answer.data])


def refused() -> bool:
    try:
        litellm.completion(**CHAT | {"model": "openai/nothing"})
    except litellm.NotFoundError:
        return True
    return False


if __name__ == "__main__":
    attempt("chat", whole)
    attempt("chat, streamed with usage", streamed)
    attempt("eight chats at once (async)", together)
    attempt("json_schema", formed)
    attempt("n and logprobs", choices)
    attempt("text completion", completed)
    attempt("responses", responded)
    attempt("embeddings", embedded)
    attempt("an unknown model is NotFoundError", refused)
