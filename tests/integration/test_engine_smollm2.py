"""The engine on a real model says what transformers' `generate` says."""

import json
import random
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from llguidance import LLTokenizer
from transformers import AutoModelForCausalLM

from jobs.spec import Parameters
from models_store.grammar import Grammars
from models_store.prompt import PromptRenderer
from models_store.token_bytes import TokenBytes
from tests.unit.engine_models import Driver
from workers.engines.lm import LmEngine

TOPICS = (
    "the sea at night",
    "a bakery that opens at four in the morning",
    "prime numbers",
    "why bridges hum in the wind",
    "a letter to a neighbour about a borrowed ladder",
    "Grüße aus Köln, 東京 and Kraków",
)
WORDS = ("river", "stone", "lamp", "window", "paper", "garden", "copper", "winter", "signal")


def questions() -> list[str]:
    chance = random.Random(11)
    asked = []
    for number in range(24):
        # From a few words up to more than one step's share of prompt tokens.
        length = 600 if number == 20 else chance.choice([0, 5, 30, 120])
        details = " ".join(chance.choice(WORDS) for _ in range(length))
        asked.append(f"Write {number + 1} lines about {TOPICS[number % 6]}. {details}")
    return asked


@pytest.fixture(scope="module")
def renderer(smollm2_folder: Path) -> PromptRenderer:
    return PromptRenderer.load(smollm2_folder)


@pytest.fixture(scope="module")
def chats(renderer: PromptRenderer) -> list[list[int]]:
    return [
        renderer.encode(renderer.chat([{"role": "user", "content": text}]), special=False)
        for text in questions()
    ]


@pytest.fixture(scope="module")
def running(smollm2_folder: Path) -> LmEngine:
    return LmEngine.load(
        smollm2_folder, device="cpu", dtype="float32", slots=32, kv_tokens=30_000, threads=0
    )


@pytest.fixture(scope="module")
def stock(smollm2_folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(smollm2_folder, dtype=torch.float32)


def test_24_prompts_of_mixed_length_equal_generate(
    running: LmEngine, stock: Any, renderer: PromptRenderer, chats: list[list[int]]
) -> None:
    tokens = 16
    driver = Driver(running)
    expected = {}
    for chat in chats:
        ids = torch.tensor([chat])
        answer = stock.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False
        )
        expected[driver.add(chat, tokens)] = renderer.decode(answer[0, len(chat) :].tolist())
        driver.step()
    found = driver.finish()
    assert {key: found[key].text for key in expected} == expected


def test_bfloat16_answers_end_by_themselves(smollm2_folder: Path, renderer: PromptRenderer) -> None:
    engine = LmEngine.load(
        smollm2_folder, device="cpu", dtype="bfloat16", slots=4, kv_tokens=0, threads=0
    )
    driver = Driver(engine)
    chat = renderer.chat([{"role": "user", "content": "What is the capital of France?"}])
    key = driver.add(renderer.encode(chat, special=False), 100)
    found = driver.finish()[key]
    assert "Paris" in found.text
    assert found.reason == "stop"


SHORT = {"type": "string", "maxLength": 20}
FORMS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"city": SHORT, "people": {"type": "integer", "minimum": 0,
     "maximum": 99_999}}, "required": ["city", "people"], "additionalProperties": False},
    {"type": "object", "properties": {"mood": {"enum": ["calm", "stormy"]}, "words": {
     "type": "array", "items": SHORT, "minItems": 1, "maxItems": 3}}, "required": ["words", "mood"],
     "additionalProperties": False},
    {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number",
     "minimum": -1, "maximum": 1}, "of": {"type": "object", "properties": {"deep": SHORT},
     "required": ["deep"], "additionalProperties": False}}, "required": ["of"],
     "additionalProperties": False}, "maxItems": 2},
    {"enum": ["yes", "no", "<|im_end|>"]},
    {"type": "string", "format": "date"},
]  # fmt: skip


def test_completions_of_a_form_parse_and_have_it(
    running: LmEngine, renderer: PromptRenderer
) -> None:
    grammars, driver = Grammars(renderer), Driver(running)
    wanted = {}
    for number, schema in enumerate(FORMS):
        asked = f"Answer in JSON about {TOPICS[number]}"
        prompt = renderer.encode(renderer.chat([{"role": "user", "content": asked}]), special=False)
        form = {"type": "json_schema", "json_schema": {"name": "it", "schema": schema}}
        grammar = grammars.compiled(
            Parameters.model_validate({"response_format": form}).response_format
        )
        for heat in (0.0, 1.0, 1.5):
            id = driver.add(prompt, 200, grammar, temperature=heat, seed=number)
            wanted[id] = schema
    free = driver.add(renderer.encode("Once", special=False), 10)
    found = driver.finish()
    assert found[free].tokens == 10
    for id, schema in wanted.items():
        assert (found[id].error, found[id].reason) == (None, "stop"), found[id]
        jsonschema.validate(json.loads(found[id].text), schema)


def test_logprobs_equal_a_full_forward(
    running: LmEngine, stock: Any, renderer: PromptRenderer, chats: list[list[int]]
) -> None:
    exact = TokenBytes(renderer.tokenizer)
    known = {exact.of(id): id for id in range(renderer.tokenizer.get_vocab_size())}
    driver = Driver(running)
    asked = {
        driver.add(chat, 12, temperature=heat, seed=1, logprobs=20, presence_penalty=heat): chat
        for chat, heat in zip(chats[:4], (0.0, 0.5, 1.0, 1.5), strict=True)
    }
    found = driver.finish()
    for id, chat in asked.items():
        told = found[id].logprobs
        ids = [known[entry.chosen.piece] for entry in told]
        with torch.inference_mode():
            logits = stock(torch.tensor([[*chat, *ids]])).logits[0, len(chat) - 1 : -1]
        shares = logits.log_softmax(-1)
        assert len(told) == 12
        for place, (token, entry) in enumerate(zip(ids, told, strict=True)):
            assert entry.chosen.logprob == pytest.approx(float(shares[place, token]), abs=1e-4)
            best = shares[place].topk(20).values.tolist()
            assert [top.logprob for top in entry.top] == pytest.approx(best, abs=1e-4)


def test_the_logprobs_of_prompts_equal_a_full_forward(
    running: LmEngine, stock: Any, renderer: PromptRenderer, chats: list[list[int]]
) -> None:
    exact = TokenBytes(renderer.tokenizer)
    driver = Driver(running)
    beside = driver.add(chats[4][:20], 3)
    asked = {
        driver.add(chat, most, prompt_logprobs=5): chat
        for chat, most in ((chats[0][:40], 1), (chats[20][:150], 0))
    }
    found = driver.finish()
    assert found[beside].tokens == 3
    for id, chat in asked.items():
        told = found[id].prompt_logprobs
        assert [entry.chosen.piece for entry in told] == [exact.of(token) for token in chat]
        with torch.inference_mode():
            shares = stock(torch.tensor([chat])).logits[0, :-1].log_softmax(-1)
        own = shares.gather(-1, torch.tensor(chat[1:])[:, None])[:, 0]
        assert [one.chosen.logprob for one in told[1:]] == pytest.approx(own.tolist(), abs=1e-4)
        best = shares.topk(5).values.tolist()
        for entry, values in zip(told[1:], best, strict=True):
            assert [top.logprob for top in entry.top] == pytest.approx(values, abs=1e-4)


def test_every_token_has_its_exact_bytes(renderer: PromptRenderer) -> None:
    tokenizer = renderer.tokenizer
    exact, other = TokenBytes(tokenizer), LLTokenizer(tokenizer.to_str())
    special = {id for id, t in tokenizer.get_added_tokens_decoder().items() if t.special}
    ids = [id for id in range(tokenizer.get_vocab_size()) if id not in special]
    assert [exact.of(id) for id in ids] == [other.decode_bytes([id]) for id in ids]
    assert {exact.of(id).decode() for id in special} == {tokenizer.id_to_token(i) for i in special}
