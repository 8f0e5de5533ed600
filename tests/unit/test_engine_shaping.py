"""Penalties and biases do what their definitions say, to the rows that ask for them."""

import random
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
import torch

from jobs.errors import InvalidRequest
from tests.unit.engine_models import Driver, byte_vocabulary, engine, network, prompts, text_of
from workers.engines.detokenizer import Reader
from workers.engines.lm import sampler
from workers.engines.lm.sequence import Sequence
from workers.engines.lm.shaping import Shaping, shape, shaping_of
from workers.engines.protocol import Request, Sampling

CASES: list[dict[str, Any]] = [
    {"presence_penalty": 1.5},
    {"presence_penalty": -1.0, "frequency_penalty": 0.7},
    {"frequency_penalty": 2.0},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8, "presence_penalty": 0.4},
    {"logit_bias": {7: 12.0, 30: -100.0, 31: 0.5}},
    {"logit_bias": {7: 6.0}, "repetition_penalty": 1.7, "frequency_penalty": 0.3},
]


def shaped(row: torch.Tensor, prompt: list[int], text: list[int], options: dict[str, Any]) -> None:
    """The definitions, one score after the other, in place."""
    for id, bias in options.get("logit_bias", {}).items():
        row[id] += bias
    repetition = options.get("repetition_penalty", 1.0)
    for id in {*prompt, *text}:
        row[id] = row[id] * repetition if row[id] < 0 else row[id] / repetition
    for id, count in Counter(text).items():
        row[id] -= options.get("presence_penalty", 0) + options.get("frequency_penalty", 0) * count


def by_hand(prompt: list[int], tokens: int, options: dict[str, Any]) -> list[int]:
    """A greedy completion by full forwards of the stock model."""
    text: list[int] = []
    with torch.inference_mode():
        for _ in range(tokens):
            row = network("llama")(torch.tensor([[*prompt, *text]])).logits[0, -1].float().clone()
            shaped(row, prompt, text, options)
            text.append(int(row.argmax()))
    return text


def test_greedy_completions_equal_the_definitions_all_in_one_batch() -> None:
    driver = Driver(engine(prompt_tokens_per_step=50))
    plain = prompts([30])[0]
    expected = {driver.add(plain, 25): by_hand(plain, 25, {})}
    for number, options in enumerate(CASES):
        prompt = prompts([10 + 9 * number], seed=number)[0]
        expected[driver.add(prompt, 25, **options)] = by_hand(prompt, 25, options)
        driver.step()
    found = driver.finish()
    assert {id: found[id].text for id in expected} == {
        id: text_of(tokens) for id, tokens in expected.items()
    }


def test_the_repetition_penalty_is_transformers() -> None:
    prompt = prompts([40], seed=4)[0]
    ids = torch.tensor([prompt])
    answer = network("llama").generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=30,
        do_sample=False,
        repetition_penalty=1.4,
    )
    driver = Driver(engine())
    id = driver.add(prompt, 30, repetition_penalty=1.4)
    assert driver.finish()[id].text == text_of(answer[0, len(prompt) :].tolist())


@pytest.mark.parametrize("options", CASES)
def test_scores_of_several_rows_change_each_for_itself(options: dict[str, Any]) -> None:
    scores = torch.randn(3, 64, generator=torch.Generator().manual_seed(1))
    texts = [[1, 7, 7], [], [30, 2, 2, 2]]
    given = [options, {"frequency_penalty": 0.5}, {"logit_bias": {3: -5.0}}]
    expected = scores.clone()
    for row, text, wish in zip(expected, texts, given, strict=True):
        shaped(row, [5, 5, 6], text, wish)
    shapings = [
        Shaping(Request(uuid4(), [5, 5, 6], Sampling(1, **wish)), text, frozenset())
        for text, wish in zip(texts, given, strict=True)
    ]
    shape(scores, shapings)
    torch.testing.assert_close(scores, expected)


def test_neighbours_keep_their_tokens_and_pay_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[list[int], dict[str, Any]]] = [
        (prompt, {"temperature": 0.8, "seed": n}) for n, prompt in enumerate(prompts([9, 50]))
    ]
    alone = Driver(engine())
    with monkeypatch.context() as patched:
        patched.setattr(sampler, "shape", None)  # nobody calls it
        plain = [alone.add(prompt, 20, **options) for prompt, options in given]
        alone.finish()
    crowd = Driver(engine())
    crowded = []
    for (prompt, options), wish in zip(given, CASES[3:5], strict=True):
        crowd.add(prompt, 22, temperature=1.0, logprobs=3, **wish)
        crowded.append(crowd.add(prompt, 20, **options))
    crowd.finish()
    assert [crowd.completions[id].text for id in crowded] == [
        alone.completions[id].text for id in plain
    ]


def test_only_a_request_that_asks_for_it_has_a_shaping() -> None:
    plain = Sampling(5, temperature=1.0, top_p=0.5, min_p=0.1, seed=1, logprobs=3)
    assert shaping_of(Request(uuid4(), [1], plain), [], frozenset()) is None
    assert shaping_of(Request(uuid4(), [1], Sampling(5, logit_bias={1: 1})), [], frozenset())


def test_ids_that_the_model_does_not_have_are_refused() -> None:
    driver = Driver(engine())
    with pytest.raises(InvalidRequest):
        driver.add([1], logit_bias={260: 1.0})
    with pytest.raises(InvalidRequest):
        driver.add([1], stop_token_ids=(260,))
    assert driver.engine.active == 0


def test_a_stop_token_ends_a_text_before_it() -> None:
    prompt = prompts([33])[0]
    tokens = by_hand(prompt, 12, {})
    stop = tokens[-1]
    first = tokens.index(stop)
    driver = Driver(engine())
    id = driver.add(prompt, 12, stop_token_ids=(stop,))
    found = driver.finish()[id]
    assert (found.text, found.reason, found.tokens) == (text_of(tokens[:first]), "stop", first + 1)


def test_a_completion_goes_on_after_the_models_end_if_asked_to() -> None:
    prompt = prompts([33])[0]
    tokens = by_hand(prompt, 12, {})
    driver = Driver(engine(ends=tokens[2]))
    ended = driver.add(prompt, 12)
    ignoring = driver.add(prompt, 12, ignore_eos=True)
    found = driver.finish()
    assert found[ended].reason == "stop"
    assert (found[ignoring].text, found[ignoring].reason) == (text_of(tokens), "length")


def draws(scores: list[float], **sampling: Any) -> set[int]:
    options = Sampling(max_tokens=1, temperature=1.0, seed=5, **sampling)
    reader = Reader(byte_vocabulary(), ())
    one = Sequence(Request(uuid4(), [1], options), 1, 64, reader, random.Random(5))
    return {sampler.choose(torch.tensor([scores]), [one])[0] for _ in range(2000)}


def test_min_p_leaves_what_is_likely_beside_the_likeliest() -> None:
    # Shares 0.64, 0.24, 0.09, 0.03: the others as parts of the first 0.37, 0.14, 0.05.
    scores = [3.0, 2.0, 1.0, 0.0]
    assert draws(scores, min_p=0.3) == {0, 1}
    assert draws(scores, min_p=0.1) == {0, 1, 2}
    assert draws(scores, min_p=1.0) == {0}
    assert draws(scores, min_p=0.01) == {0, 1, 2, 3}
    assert draws(scores, min_p=0.1, top_k=2) == {0, 1}
    assert draws(scores, min_p=0.3, top_p=0.99) == {0, 1}
    assert draws(scores, min_p=0.01, top_p=0.7) == {0, 1}


def test_min_p_over_a_flat_distribution_needs_more_than_the_candidates() -> None:
    assert max(draws([0.0] * 5000 + [-9.0] * 1000, min_p=0.5)) in range(4500, 5000)
