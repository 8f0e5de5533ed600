"""The engine on a real model says what transformers' `generate` says."""

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from models_store.prompt import PromptRenderer
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


def test_24_prompts_of_mixed_length_equal_generate(
    smollm2_folder: Path, renderer: PromptRenderer, chats: list[list[int]]
) -> None:
    tokens = 16
    engine = LmEngine.load(
        smollm2_folder, device="cpu", dtype="float32", slots=32, kv_tokens=30_000, threads=0
    )
    driver = Driver(engine)
    stock: Any = AutoModelForCausalLM.from_pretrained(smollm2_folder, dtype=torch.float32)
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
