"""langchain-openai against LMaaS."""

import asyncio
from typing import Any

from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings

from tests.compat.programs.trying import FORM, KEY, TEXTS, URL, alike, attempt

HERE: dict[str, Any] = {"base_url": URL, "api_key": KEY, "max_retries": 0}
QUESTION = "What is the capital of France?"
chat = ChatOpenAI(model="smollm2", temperature=0, max_tokens=24, **HERE)


def whole() -> bool:
    answer = chat.invoke([("system", "You are brief."), ("human", QUESTION)])
    return bool(answer.content and answer.usage_metadata["output_tokens"] > 0)


def streamed() -> bool:
    text = "".join(str(chunk.content) for chunk in chat.stream(QUESTION))
    return bool(text == chat.invoke(QUESTION).content)


def batched() -> bool:
    return len({answer.content for answer in chat.batch([QUESTION] * 6)}) == 1


def awaited() -> bool:
    return bool(asyncio.run(chat.ainvoke(QUESTION)).content == chat.invoke(QUESTION).content)


def formed() -> bool:
    form = {"title": "answer", "description": "a city"} | FORM
    made = ChatOpenAI(model="smollm2", temperature=0, max_tokens=80, **HERE)
    found = made.with_structured_output(form, method="json_schema").invoke(QUESTION)
    return set(found) == {"city", "sure"}


def responded() -> bool:
    made = ChatOpenAI(model="smollm2", max_tokens=12, use_responses_api=True, **HERE)
    return bool(made.invoke("Say hello.").text)


def completed() -> bool:
    return bool(OpenAI(model="smollm2", max_tokens=12, **HERE).invoke("Once upon a time"))


def embedded() -> bool:
    # Otherwise the texts are sent as token ids of OpenAI's own tokenizer.
    made = OpenAIEmbeddings(model="minilm", check_embedding_ctx_length=False, **HERE)
    return alike(made.embed_documents(TEXTS)) and len(made.embed_query("a")) == 384


if __name__ == "__main__":
    attempt("ChatOpenAI.invoke", whole)
    attempt("ChatOpenAI.stream", streamed)
    attempt("ChatOpenAI.batch", batched)
    attempt("ChatOpenAI.ainvoke", awaited)
    attempt("with_structured_output, json_schema", formed)
    attempt("ChatOpenAI, use_responses_api", responded)
    attempt("OpenAI.invoke (completions)", completed)
    attempt("OpenAIEmbeddings, check_embedding_ctx_length=False", embedded)
