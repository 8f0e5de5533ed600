"""Tokens are drawn as asked, and a seed means the same text everywhere."""

import random
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
import torch

from tests.unit.engine_models import Driver, byte_vocabulary, engine, prompts
from workers.engines.detokenizer import Reader
from workers.engines.lm.sampler import choose, greedy
from workers.engines.lm.sequence import Sequence
from workers.engines.protocol import Request, Sampling


def sequence(**sampling: Any) -> Sequence:
    options = Sampling(max_tokens=1, **sampling)
    reader = Reader(byte_vocabulary(), ())
    return Sequence(Request(uuid4(), [1], options), 1, 64, reader, random.Random(options.seed))


def draws(logits: list[float], count: int = 3000, **sampling: Any) -> Counter[int]:
    row = torch.tensor([logits])
    one = sequence(seed=5, **sampling)
    return Counter(choose(row, [one])[0] for _ in range(count))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("columns", [7, 128, 384])
def test_greedy_takes_the_first_of_the_largest(dtype: torch.dtype, columns: int) -> None:
    chance = torch.Generator().manual_seed(1)
    logits = torch.randint(0, 9, (50, columns), generator=chance).to(dtype)
    first = [row.index(max(row)) for row in logits.tolist()]
    assert greedy(logits).tolist() == first


def test_draws_follow_the_softmax() -> None:
    logits = [0.0, 1.0, 2.0, -30.0]
    found = draws(logits, temperature=1.0)
    for token, share in enumerate(torch.softmax(torch.tensor(logits), 0).tolist()):
        assert found[token] / 3000 == pytest.approx(share, abs=0.04)


def test_a_low_temperature_is_nearly_greedy() -> None:
    assert draws([0.0, 1.0, 2.0], 200, temperature=1e-30) == {2: 200}


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"top_k": 2}, {1, 2}),
        ({"top_k": 1}, {2}),
        ({"top_p": 0.5}, {2}),
        ({"top_p": 0.7}, {1, 2}),
        ({"top_p": 0.95}, {0, 1, 2}),
        ({"top_k": 2, "top_p": 0.7}, {2}),
        ({"top_k": 50}, {0, 1, 2, 3}),
    ],
)
def test_filters_leave_the_likeliest_tokens(filters: dict[str, Any], left: set[int]) -> None:
    # Shares: 0.09, 0.24, 0.65, 0.01
    assert set(draws([1.0, 2.0, 3.0, -1.0], temperature=1.0, **filters)) == left


def test_a_flat_distribution_needs_more_than_the_candidates() -> None:
    row = torch.zeros(1, 6000)
    one = sequence(temperature=1.0, top_p=0.9, seed=1)
    found = [choose(row, [one])[0] for _ in range(300)]
    assert 4000 < max(found) < 5400


def test_a_seed_gives_the_same_text_whatever_the_neighbours() -> None:
    (prompt, *others) = prompts([20, 31, 64, 9, 70])
    options: dict[str, Any] = {"temperature": 0.9, "top_p": 0.95, "seed": 42}
    alone = Driver(engine())
    alone_id = alone.add(prompt, 30, **options)
    text = alone.finish()[alone_id].text
    crowd = Driver(engine(prompt_tokens_per_step=40))
    for seed, other in enumerate(others):
        crowd.add(other, 25, temperature=0.5 * seed, top_k=seed * 10, seed=seed)
        crowd.step()
    crowd_id = crowd.add(prompt, 30, **options)
    assert crowd.finish()[crowd_id].text == text


def test_without_a_seed_texts_differ() -> None:
    driver = Driver(engine())
    prompt = prompts([20])[0]
    for _ in range(4):
        driver.add(prompt, 30, temperature=1.0)
    assert len({c.text for c in driver.finish().values()}) > 1
