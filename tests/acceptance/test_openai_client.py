"""The real openai client over the running stack: what it knows works, or is refused by name."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from api.openai.answers import ChatCompletion, TextCompletion
from tests.conditions import eventually
from tests.stack import Stack

SPEED = 100  # tokens, which are bytes, a second
HELLO: Any = [{"role": "user", "content": "hello"}]
LONG = "one two three four five six seven eight nine ten " * 6


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("openai"),
        database_url=module_database_url,
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


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0) as made:
        yield made


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


def test_a_chat_is_answered_by_a_job_of_the_interactive_class(client: OpenAI, stack: Stack) -> None:
    said = chat(client, metadata={"for": "test"}, user="me", store=True)
    assert said.object == "chat.completion"
    assert said.choices[0].message.content.startswith("user: hello")
    assert said.choices[0].finish_reason == "stop"
    assert said.usage.total_tokens == said.usage.prompt_tokens + said.usage.completion_tokens
    assert (said.model, said.service_tier) == ("echo@1", "default")
    assert said._request_id.startswith("req_")
    job = job_of(stack, said.id)
    assert (job["priority"], job["metadata"]) == ("interactive", {"for": "test"})
    assert job["result"]["text"] == said.choices[0].message.content


def test_answers_are_what_the_openapi_document_says(stack: Stack) -> None:
    body = {"model": "echo", "messages": HELLO}
    said = stack.http.post("/v1/chat/completions", json=body)
    ChatCompletion.model_validate_json(said.text, strict=True)
    said = stack.http.post("/v1/completions", json={"model": "echo", "prompt": "hello"})
    TextCompletion.model_validate_json(said.text, strict=True)
    document = stack.http.get("/openapi/openapi.json").json()
    assert document["components"]["schemas"]["ChatRequest"]["properties"]["tools"]["enum"] == [
        None,
        [],
    ]
    paths = document["paths"]
    made = paths["/v1/chat/completions"]["post"]
    assert made["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "/ChatRequest"
    )
    assert set(made["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert {"/v1/completions", "/v1/responses", "/v1/responses/{response_id}"} <= set(paths)


def test_without_a_limit_a_chat_goes_on_as_far_as_the_context_allows(client: OpenAI) -> None:
    long = [{"role": "user", "content": "x" * 200}]
    said = chat(client, messages=long, max_tokens=None)
    assert said.usage.completion_tokens > 200
    assert said.choices[0].finish_reason == "stop"


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
def test_a_limit_under_either_name_cuts_the_answer(client: OpenAI, limit: str) -> None:
    said = chat(client, **{"max_tokens": None, limit: 4})
    assert said.usage.completion_tokens == 4
    assert said.choices[0].finish_reason == "length"


def test_roles_parts_and_stop_strings(client: OpenAI) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    messages = [
        {"role": "developer", "content": "short"},
        {"role": "assistant", "content": "so far", "refusal": None, "tool_calls": None},
        {"role": "user", "content": parts},
    ]
    said = chat(client, messages=messages, max_tokens=200, seed=-7, temperature=0, stop="two")
    assert said.choices[0].message.content == "system: short\nassistant: so far\nuser: one\n"
    assert said.choices[0].finish_reason == "stop"


def test_a_chat_streams_role_text_reason_and_usage(client: OpenAI) -> None:
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    *middle, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert (usage.choices, [chunk.usage for chunk in middle]) == ([], [None] * len(middle))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in middle)
    whole = chat(client)
    assert (text, usage.usage) == (whole.choices[0].message.content, whole.usage)


def test_a_flex_chat_is_a_job_of_the_batch_class(client: OpenAI, stack: Stack) -> None:
    said = chat(client, service_tier="flex")
    assert said.service_tier == "flex"
    assert job_of(stack, said.id)["priority"] == "batch"


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
        ({"logprobs": True, "stream": True}, "unsupported_parameter", "logprobs"),
        ({"response_format": {"type": "json"}}, "invalid_value", "response_format"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_bad_field_is_a_bad_request_that_names_it(
    client: OpenAI, changes: dict[str, Any], code: str, param: str
) -> None:
    told = refusal(openai.BadRequestError, lambda: chat(client, extra_body=changes))
    assert told == (400, code, param)


def test_several_completions_of_several_prompts_come_in_order(client: OpenAI) -> None:
    answer = complete(client, ["one", "two"], n=2)
    assert [(one.index, one.text) for one in answer.choices] == [
        (0, "one"), (1, "one"), (2, "two"), (3, "two"),
    ]  # fmt: skip


def test_several_completions_are_streamed_by_their_index(client: OpenAI) -> None:
    texts, ends = ["", ""], []
    for chunk in chat(client, stream=True, n=2):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            if choice.finish_reason:
                ends.append((choice.index, choice.finish_reason))
    whole = chat(client, n=2)
    assert texts == [one.message.content for one in whole.choices]
    assert ends == [(0, "stop"), (1, "stop")]


def test_logprobs_of_chats_and_of_completions(client: OpenAI) -> None:
    told = chat(client, logprobs=True, top_logprobs=1).choices[0]
    written = "".join(one.token for one in told.logprobs.content)
    assert written.replace("<|end|>", "") == told.message.content
    assert all(one.logprob == 0 == one.top_logprobs[0].logprob for one in told.logprobs.content)
    columns = complete(client, "hello", logprobs=1).choices[0].logprobs
    assert "".join(columns.tokens) == "hello"
    assert columns.text_offset == [0, 1, 2, 3, 4]
    assert columns.top_logprobs[0] == {"h": 0.0}


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1], [2]]])
def test_prompts_of_token_ids_are_refused(client: OpenAI, prompt: Any) -> None:
    told = refusal(openai.BadRequestError, lambda: complete(client, prompt))
    assert told == (400, "unsupported_value", "prompt")


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


def quiet_stream(client: OpenAI) -> Any:
    return chat(client, model="quiet", stream=True)


def test_a_reader_that_goes_away_cancels_its_job(client: OpenAI, stack: Stack) -> None:
    stream = chat(client, messages=[{"role": "user", "content": LONG}], max_tokens=None,
                  stream=True)  # fmt: skip
    first = next(iter(stream))
    next(iter(stream))
    stream.close()
    gone = eventually(
        lambda: job if (job := job_of(stack, first.id))["status"] == "cancelled" else None,
        within_s=20,
    )
    assert gone["result"]["usage"]["completion_tokens"] < len(LONG)


def test_with_every_place_taken_nothing_is_submitted(client: OpenAI, stack: Stack) -> None:
    streams = [quiet_stream(client) for _ in range(4)]
    before = jobs(stack)
    with pytest.raises(openai.InternalServerError) as caught:
        chat(client)
    assert (caught.value.status_code, caught.value.code) == (503, "too_many_waiters")
    assert caught.value.response.headers["Retry-After"].isdecimal()
    assert jobs(stack) == before
    for stream, id in zip(streams, before, strict=False):
        stack.http.post(f"/v1/jobs/{id}/cancel")
        stream.close()
    eventually(lambda: stack.http.get("/v1/jobs", params={"status": "queued"}).json()["data"] == [])


def test_a_cancelled_job_is_an_error_that_no_retry_mends(client: OpenAI, stack: Stack) -> None:
    stream = quiet_stream(client)
    id = next(iter(stream)).id
    stack.http.post(f"/v1/jobs/{id.partition('-')[2]}/cancel")
    with pytest.raises(openai.APIError) as caught:
        list(stream)
    assert caught.value.code == "job_cancelled"


def test_a_poll_of_a_cancelled_job_is_a_conflict(client: OpenAI, stack: Stack) -> None:
    async def both() -> None:
        async with AsyncOpenAI(base_url=client.base_url, api_key=client.api_key) as other:
            call = asyncio.create_task(other.chat.completions.create(model="quiet", messages=HELLO))
            while not (queued := jobs_of("quiet")):
                await asyncio.sleep(0.02)
            stack.http.post(f"/v1/jobs/{queued[0]}/cancel")
            with pytest.raises(openai.ConflictError) as caught:
                await call
            assert caught.value.code == "job_cancelled"
            assert caught.value.response.headers["x-should-retry"] == "false"

    def jobs_of(model: str) -> list[str]:
        query = {"model": model, "status": "queued"}
        return [job["id"] for job in stack.http.get("/v1/jobs", params=query).json()["data"]]

    asyncio.run(both())
    assert len(stack.http.get("/v1/jobs", params={"model": "quiet"}).json()["data"]) > 0


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


def test_a_limit_is_an_error_that_the_client_knows_and_waits_out(stack: Stack) -> None:
    stack.command("api.tenants", "add", "limited")
    stack.command("api.tenants", "limits", "limited", "--requests-per-minute", "2")
    shown = stack.command("api.tenants", "limits", "limited", "--queued-tokens", "9000")
    assert "requests_per_minute\t2" in shown and "queued_jobs\tnone" in shown
    key = stack.command("api.tenants", "keys", "create", "limited", "mine").strip()
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=key, max_retries=0) as other:
        told = other.chat.completions.with_raw_response.create(
            model="echo", messages=HELLO, max_tokens=8
        )
        assert told.headers["x-ratelimit-limit-requests"] == "2"
        assert told.headers["x-ratelimit-remaining-requests"] == "1"
        chat(other, max_tokens=8)
        with pytest.raises(openai.RateLimitError) as refused:
            chat(other, max_tokens=8)
        assert refused.value.code == "rate_limit_exceeded"
        assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 61
        assert refused.value.response.headers["x-should-retry"] == "true"
    used = stack.command("api.tenants", "usage", "limited").splitlines()
    assert used[0].startswith("tenant,day,model,succeeded")
    assert used[1].startswith("limited,20") and used[1].split(",")[2:4] == ["echo@1", "2"]
    audit = stack.command("api.tenants", "audit", "--tenant", "limited")
    assert "tenant.limits" in audit and key not in audit
