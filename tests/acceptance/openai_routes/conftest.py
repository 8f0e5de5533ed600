"""One running stack with the echo engine for all tests of OpenAI's routes here."""

from collections.abc import Callable, Iterator

import pytest
from openai import OpenAI

from models_store.echo import write_folder
from models_store.prompt import PromptRenderer
from tests.conftest import fresh_database
from tests.stack import Stack

SPEED = 100  # tokens, which are bytes, a second


@pytest.fixture(scope="package")
def stack(
    postgres_url: str, _template: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    with fresh_database(postgres_url, _template) as database_url:
        started = Stack(
            tmp_path_factory.mktemp("openai"),
            database_url=database_url,
            redis_url=redis_url,
            LMAAS_DEVICE="cpu",
            LMAAS_ECHO_TOKENS_PER_S=str(SPEED),
            LMAAS_MAX_WAITERS="4",
        )
        started.command("models_store", "echo")
        started.command("models_store", "echo", "--name", "quiet")  # nobody hosts it
        started.start("web", "dispatcher", "worker")
        started.ready()
        yield started
        started.close()


@pytest.fixture(scope="package")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[int]]:
    """The echo model's token ids of a text."""
    folder = tmp_path_factory.mktemp("echo")
    write_folder(folder)
    renderer = PromptRenderer.load(folder)
    return lambda text: renderer.encode(text, special=True)


@pytest.fixture(scope="package")
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0) as made:
        yield made
