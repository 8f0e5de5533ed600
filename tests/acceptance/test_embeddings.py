"""Embeddings through the whole stack: OpenAI's client, ours, the command line; echo and MiniLM."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI

from lmaas import Client, RequestRefused
from tests.conditions import ROOT, eventually
from tests.stack import Stack
from workers.engines.echo_vectors import WIDTH

CAT, KITTEN, MARKET = "A cat sits outside.", "A kitten in the garden.", "Shares fell sharply today."
SPEED = 100  # tokens, which are bytes, a second


@pytest.fixture(scope="module")
def stack(
    module_database_url: str,
    redis_url: str,
    minilm_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("embeddings"),
        database_url=module_database_url,
        redis_url=redis_url,
        LMAAS_DEVICE="cpu",
        LMAAS_ECHO_TOKENS_PER_S=str(SPEED),
    )
    started.command("models_store", "echo")
    started.command("models_store", "import", str(minilm_folder), "--name", "minilm")
    started.start("web", "dispatcher", "worker")
    started.start("worker.2", LMAAS_MODEL="minilm")
    started.ready(workers=2)
    yield started
    started.close()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def own(stack: Stack) -> Iterator[Client]:
    with Client(str(stack.http.base_url), stack.key) as made:
        yield made


def likeness(one: Any, other: Any) -> float:
    return float(sum(a * b for a, b in zip(one, other, strict=True)))


def test_openais_client_gets_the_same_vectors_in_either_encoding(client: OpenAI) -> None:
    # Without an encoding the client asks for base64 and unpacks it.
    packed = client.embeddings.create(model="minilm", input=[CAT, KITTEN, MARKET])
    plain = client.embeddings.create(
        model="minilm", input=[CAT, KITTEN, MARKET], encoding_format="float"
    )
    assert packed.object == "list"
    assert packed.model == "minilm@1"
    assert packed.usage == plain.usage
    assert [item.index for item in packed.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert likeness(one.embedding, other.embedding) == pytest.approx(1, abs=1e-5)
    cat, kitten, market = (item.embedding for item in packed.data)
    assert len(cat) == 384
    assert likeness(cat, kitten) > 0.5
    assert likeness(cat, market) < 0.2


def test_openais_async_client_gets_each_request_its_own(stack: Stack) -> None:
    async def together() -> list[list[float]]:
        async with AsyncOpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key) as made:
            answers = await asyncio.gather(
                *(made.embeddings.create(model="minilm", input=[CAT, f"{n}"]) for n in range(6))
            )
        return [answer.data[0].embedding for answer in answers]

    first, *others = asyncio.run(together())
    for other in others:
        assert other == pytest.approx(first, abs=1e-4)


def test_token_ids_and_texts_are_the_same_to_openais_client(client: OpenAI) -> None:
    text = client.embeddings.create(model="echo", input="abc")
    ids = stack_ids(client)
    assert ids.data[0].embedding == text.data[0].embedding
    assert (len(text.data[0].embedding), text.usage.total_tokens) == (WIDTH, 3)


def stack_ids(client: OpenAI) -> Any:
    # The echo tokenizer numbers bytes by its own alphabet: "!" is 0.
    return client.embeddings.create(model="echo", input=[ord(letter) - 33 for letter in "abc"])


def test_what_is_too_long_is_refused_by_its_number(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as caught:
        client.embeddings.create(model="minilm", input=[CAT, "rain " * 400])
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input.1")
    with pytest.raises(BadRequestError) as caught:
        client.chat.completions.create(model="minilm", messages=[{"role": "user", "content": "a"}])
    assert caught.value.param == "model"


def test_our_client_embeds_as_openais_does(own: Client, client: OpenAI) -> None:
    [vector] = own.embed(CAT, model="minilm")
    told = client.embeddings.create(model="minilm", input=CAT).data[0].embedding
    assert vector == pytest.approx(told, abs=1e-5)
    long, short = own.embed([CAT, CAT], model="minilm", normalize=False)
    assert likeness(long, long) > 2
    assert short == pytest.approx(long, abs=1e-4)
    with pytest.raises(RequestRefused, match=r"input\.1"):
        own.embed(["a", ""], model="echo")
    results = list(own.map([{"input": [CAT]}, {"input": [MARKET]}], model="minilm", progress=False))
    assert [len(found.result.embeddings) for found in results if found.result] == [1, 1]


def test_the_command_line_prints_a_vector_a_line(stack: Stack) -> None:
    def run(*words: str, given: str | None = None) -> str:
        environment = os.environ | {
            "LMAAS_URL": str(stack.http.base_url),
            "LMAAS_API_KEY": stack.key,
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-c", "from lmaas.cli import main; main()", "embed", *words]
        return subprocess.run(
            command, input=given, env=environment, capture_output=True, text=True,
            timeout=60, check=True,
        ).stdout  # fmt: skip

    lines = run("-m", "echo", given="one\ntwo\n").splitlines()
    assert [len(json.loads(line)) for line in lines] == [WIDTH, WIDTH]
    assert json.loads(run("-m", "echo", "--json", "one")) == [json.loads(lines[0])]


def test_a_running_job_of_texts_is_cancelled_and_leaves_no_vectors(
    own: Client, stack: Stack
) -> None:
    job = own.submit(model="echo", input={"input": ["x" * 100] * 40})
    eventually(lambda: own.get(job.id).status == "running")
    own.cancel(job)
    ended = own.wait(job, timeout_s=10)
    assert (ended.status, ended.result) == ("cancelled", None)


def test_many_texts_are_one_job_with_a_vector_each(own: Client) -> None:
    texts = [f"text number {number} " + "word " * (number % 90) for number in range(100)]
    vectors = own.embed(texts, model="minilm")
    assert len(vectors) == 100
    for number in (0, 89):
        [alone] = own.embed(texts[number], model="minilm")
        assert vectors[number] == pytest.approx(alone, abs=1e-4)
