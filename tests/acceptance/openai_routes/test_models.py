"""Models, keys and request ids, as the real openai client meets them."""

import openai
import pytest
from openai import OpenAI

from tests.acceptance.openai_calls import chat, refusal
from tests.conditions import eventually
from tests.stack import Stack


def test_a_model_that_is_not_there_and_a_key_that_is_wrong(client: OpenAI) -> None:
    told = refusal(openai.NotFoundError, lambda: chat(client, model="gpt-4"))
    assert told == (404, "model_not_found", "model")
    stranger = client.with_options(api_key="lmaas_no")
    told = refusal(openai.AuthenticationError, lambda: chat(stranger))
    assert told == (401, "invalid_api_key", "")


def test_models_are_listed_and_read_by_any_of_their_names(client: OpenAI) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert set(listed) == {"echo@1", "quiet@1"}
    model = client.models.retrieve("echo")
    assert model == client.models.retrieve("echo@1") == listed["echo@1"]
    assert (model.object, model.owned_by) == ("model", "lmaas")
    assert model.created > 1_500_000_000
    assert refusal(openai.NotFoundError, lambda: client.models.retrieve("gpt-4"))[0] == 404


def test_a_request_keeps_the_id_that_its_client_gave_it(stack: Stack) -> None:
    answer = stack.http.get("/v1/nothing", headers={"X-Request-Id": "trace-7"})
    assert answer.headers["x-request-id"] == "trace-7"
    eventually(lambda: '"request_id": "trace-7"' in stack.log("web"), within_s=5)
    for strange in ("two words", "x" * 129, "\u00e9".encode().decode("latin-1")):
        made = stack.http.get("/health/live", headers={b"X-Request-Id": strange.encode("latin-1")})
        assert made.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("name", ["org/model", "a/b@1", "echo@9", "echo@1/", "@", "%2F"])
def test_a_name_that_no_model_has_is_not_found_however_it_is_spelled(
    client: OpenAI, name: str
) -> None:
    told = refusal(openai.NotFoundError, lambda: client.models.retrieve(name))
    assert told[:2] == (404, "model_not_found")
