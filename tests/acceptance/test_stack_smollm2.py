"""The whole system on a real model: SmolLM2 answers, and survives its worker's death."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from sqlalchemy import Engine

from jobs.database import open_engine
from jobs.settings import Settings
from tests.conditions import ROOT, eventually
from tests.invariants import check_all_ended, unfinished
from tests.stack import Stack

MODEL = "smollm2-135m-instruct"
PROMPTS = [
    "What is the capital of France?",
    "Name three colours.",
    "Write a sentence about rain.",
    "What do bees make?",
    "Say hello in Spanish.",
    "Which planet is the largest?",
]


@pytest.fixture(scope="module")
def stack(
    module_database_url: str,
    redis_url: str,
    smollm2_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("smollm2"),
        database_url=module_database_url,
        redis_url=redis_url,
        LMAAS_MODEL=MODEL,
        LMAAS_DTYPE="float32",
        LMAAS_DEVICE="cpu",
        LMAAS_SLOTS="16",
    )
    arguments = ["--name", MODEL, "--alias", "smollm2"]
    started.command("models_store", "import", str(smollm2_folder), *arguments)
    started.start("web", "dispatcher", "worker")
    started.ready()
    yield started
    started.close()


@pytest.fixture
def engine(module_database_url: str, redis_url: str) -> Iterator[Engine]:
    settings = Settings.model_validate(
        {"DATABASE_URL": module_database_url, "REDIS_URL": redis_url}
    )
    engine = open_engine(settings, application="tests")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0) as made:
        yield made


def chat(prompt: str, **parameters: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {
        "task": "chat",
        "model": "smollm2",
        "input": {"messages": messages},
        "parameters": {"max_tokens": 24, **parameters},
    }


def ended(stack: Stack, body: dict[str, Any]) -> dict[str, Any]:
    answer = stack.http.post("/v1/jobs", json=body, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


def test_a_chat_is_answered_by_the_pinned_version_with_usage_and_timings(stack: Stack) -> None:
    job = ended(stack, chat("What is the capital of France?", max_tokens=60))
    assert job["status"] == "succeeded"
    assert job["model"] == f"{MODEL}@1"
    assert "Paris" in job["result"]["text"]
    assert job["result"]["finish_reason"] == "stop"
    usage = job["result"]["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    names = ("queued_at", "started_at", "first_token_at", "finished_at")
    moments = [datetime.fromisoformat(job["timings"][name]) for name in names]
    assert moments == sorted(moments)


def test_greedy_answers_are_the_same_alone_and_in_a_full_batch(stack: Stack) -> None:
    alone = [ended(stack, chat(prompt))["result"]["text"] for prompt in PROMPTS]
    with ThreadPoolExecutor(len(PROMPTS)) as pool:
        together = list(pool.map(lambda prompt: ended(stack, chat(prompt)), PROMPTS))
    assert [job["result"]["text"] for job in together] == alone


def test_a_seed_repeats_a_sampled_answer_and_another_seed_changes_it(stack: Stack) -> None:
    def sampled(seed: int) -> str:
        body = chat("Tell me a story.", temperature=1.2, seed=seed)
        text: str = ended(stack, body)["result"]["text"]
        return text

    assert sampled(1) == sampled(1) != sampled(2)


def test_a_stop_string_ends_the_text_before_it(stack: Stack) -> None:
    free = ended(stack, chat("What is the capital of France?"))["result"]["text"]
    job = ended(stack, chat("What is the capital of France?", stop=["Paris"]))
    assert job["result"]["text"] == free.partition("Paris")[0]
    assert job["result"]["finish_reason"] == "stop"


def test_generate_continues_the_prompt_as_it_stands(stack: Stack) -> None:
    body = {
        "task": "generate",
        "model": MODEL,
        "input": {"prompt": "One, two, three, four,"},
        "parameters": {"max_tokens": 4},
    }
    job = ended(stack, body)
    assert "five" in job["result"]["text"]
    assert job["result"]["usage"]["completion_tokens"] <= 4


def test_a_cancelled_answer_keeps_the_text_so_far(stack: Stack) -> None:
    body = chat("Write a very long story about a dragon.", max_tokens=2000)
    job = stack.http.post("/v1/jobs", json=body).json()
    own = job["urls"]["self"]
    eventually(lambda: stack.http.get(own).json()["status"] == "running")
    assert stack.http.post(job["urls"]["cancel"]).json()["cancel_requested"]
    gone = stack.http.get(own, params={"wait": 20}).json()
    assert gone["status"] == "cancelled"
    assert gone["result"]["finish_reason"] == "cancelled"
    assert gone["result"]["usage"]["completion_tokens"] < 2000


def test_every_job_ends_exactly_once_when_the_worker_is_killed_in_mid_decode(
    stack: Stack, engine: Engine
) -> None:
    def submit(number: int) -> str:
        body = chat(PROMPTS[number % len(PROMPTS)] + f" ({number})", max_tokens=48)
        url: str = stack.http.post("/v1/jobs", json=body).json()["urls"]["self"]
        return url

    urls = [submit(number) for number in range(24)]
    worker = eventually(lambda: _busy_worker(stack))
    os.kill(worker["pid"], signal.SIGKILL)
    eventually(lambda: unfinished(engine) == 0, within_s=90, what="all jobs ended")
    jobs = [stack.http.get(url).json() for url in urls]
    assert {job["status"] for job in jobs} == {"succeeded"}
    assert max(job["attempt"] for job in jobs) == 2
    check_all_ended(engine)


def _busy_worker(stack: Stack) -> dict[str, Any] | None:
    workers = stack.http.get("/v1/workers").json()["data"]
    return next((worker for worker in workers if worker["busy"] >= 8), None)


def run_example(stack: Stack, name: str, given: str = "") -> str:
    environment = os.environ | {
        "LMAAS_URL": str(stack.http.base_url),
        "LMAAS_API_KEY": stack.key,
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name)],
        input=given, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_of_one_chat_runs(stack: Stack) -> None:
    assert "ended by" in run_example(stack, "ask.py")


def test_the_example_of_a_pipeline_answers_every_line_in_order(stack: Stack) -> None:
    given = "The cat sat on the mat all day.\n\nRain is expected tomorrow in the north.\n"
    records = [json.loads(line) for line in run_example(stack, "pipeline.py", given).splitlines()]
    assert [record["index"] for record in records] == [0, 1]
    assert all(record["text"] for record in records)


def test_the_example_of_a_chat_with_openais_client_says_it_twice(stack: Stack) -> None:
    whole, told, streamed = run_example(stack, "chat.py").strip().splitlines()
    assert "tokens, job chatcmpl-" in told
    assert streamed == whole


def test_the_example_of_a_background_response_takes_its_stream_up_again(stack: Stack) -> None:
    said = run_example(stack, "background_response.py")
    assert said.startswith("resp_")
    assert "(completed, " in said or "(incomplete, " in said


def test_openais_chat_answers_as_the_native_job_does(client: OpenAI, stack: Stack) -> None:
    question = "What is the capital of France?"
    given: Any = {"model": "smollm2", "messages": [{"role": "user", "content": question}],
                  "max_tokens": 24, "temperature": 0}  # fmt: skip
    whole = client.chat.completions.create(**given)
    native = ended(stack, chat(question))["result"]
    assert whole.choices[0].message.content == native["text"]
    assert whole.choices[0].finish_reason == native["finish_reason"]
    chunks = client.chat.completions.create(**given, stream=True)
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == native["text"]


def test_openais_seed_makes_a_sampled_answer_repeatable(client: OpenAI) -> None:
    def sampled(seed: int) -> str:
        messages: Any = [{"role": "user", "content": "Write a sentence about rain."}]
        made = client.chat.completions.create(
            model="smollm2", messages=messages, max_tokens=24, seed=seed
        )
        return made.choices[0].message.content or ""

    assert sampled(7) == sampled(7) != sampled(8)


def test_openais_completions_continue_prompts_up_to_a_stop_string(client: OpenAI) -> None:
    prompts = ["One, two, three, four,", "Red, green,"]
    made = client.completions.create(
        model="smollm2", prompt=prompts, max_tokens=8, temperature=0, stop=" six", echo=True
    )
    first, second = made.choices
    assert first.text.startswith(prompts[0] + " five")
    assert "six" not in first.text
    assert second.text.startswith(prompts[1])


def test_an_answer_in_the_form_of_a_schema_always_fits_it_in_its_order(client: OpenAI) -> None:
    schema = {
        "type": "object", "additionalProperties": False, "required": ["city", "size"],
        "properties": {
            "size": {"enum": ["small", "large"]},
            "city": {"type": "string", "maxLength": 20},
        },
    }  # fmt: skip
    form: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    messages: Any = [{"role": "user", "content": "Name a city and its size."}]
    answer = client.chat.completions.create(
        model="smollm2", messages=messages, response_format=form, max_tokens=80, n=2, seed=3
    )
    assert len(answer.choices) == 2
    for choice in answer.choices:
        said = json.loads(choice.message.content or "")
        assert list(said) == ["size", "city"]
        assert said["size"] in {"small", "large"}


def test_a_response_of_a_real_model_streams_its_text(client: OpenAI) -> None:
    events = list(
        client.responses.create(
            model="smollm2", input="Name three colours.", temperature=0, stream=True,
            max_output_tokens=24,
        )
    )  # fmt: skip
    last = events[-1]
    assert last.type in ("response.completed", "response.incomplete")
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == last.response.output_text != ""


def test_chunks_and_scores_have_the_logprobs_of_the_whole(client: OpenAI) -> None:
    asked: Any = {"model": "smollm2", "prompt": "The capital of France is", "temperature": 0,
                  "logprobs": 2, "max_tokens": 12}  # fmt: skip
    whole = client.completions.create(**asked).choices[0]
    columns: dict[str, list[Any]] = {}
    for chunk in client.completions.create(stream=True, **asked):
        told = chunk.choices[0].logprobs
        for name, column in (told.model_dump() if told else {}).items():
            columns.setdefault(name, []).extend(column)
    assert whole.logprobs is not None
    assert columns == whole.logprobs.model_dump()
    written: Any = whole.logprobs.token_logprobs
    assert sum(columns["token_logprobs"]) == sum(written) < 0
    asked |= {"prompt": asked["prompt"] + whole.text, "echo": True, "max_tokens": 0}
    scored: Any = client.completions.create(**asked).choices[0].logprobs
    assert scored.tokens[-12:] == whole.logprobs.tokens
    assert scored.token_logprobs[-12:] == pytest.approx(written, abs=1e-3)
    assert [max(top, key=top.get) for top in scored.top_logprobs[-12:]] == scored.tokens[-12:]


def test_a_response_has_the_form_that_its_text_is_to_have(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}},
              "required": ["n"], "additionalProperties": False}  # fmt: skip
    form: Any = {"format": {"type": "json_schema", "name": "it", "schema": schema, "strict": True}}
    made = client.responses.create(model="smollm2", input="A number?", text=form, temperature=0)
    assert made.status == "completed"
    assert isinstance(json.loads(made.output_text)["n"], int)
    assert made.text is not None
    assert made.text.to_dict() == form
