"""Logprobs are those of the model itself, whatever was done to choose a token."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from tests.unit.engine_models import Driver, byte_vocabulary, engine, network, prompts, text_of

NO_BYTES = dict.fromkeys(range(256, 260), -100.0)


def shares(family: str, prompt: Sequence[int], text: Sequence[int]) -> torch.Tensor:
    """What stock transformers thinks of each place of a completion, [places, vocabulary]."""
    with torch.inference_mode():
        logits: torch.Tensor = network(family)(torch.tensor([[*prompt, *text]])).logits[0]
    return logits[len(prompt) - 1 : -1].float().log_softmax(-1)


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.7, "seed": 1, "top_p": 0.9},
        {"temperature": 1.2, "seed": 2, "presence_penalty": 1.5, "logit_bias": {65: 4.0}},
    ],
)
def test_they_equal_a_full_forward_before_temperature_and_penalties(
    family: str, options: dict[str, Any]
) -> None:
    driver = Driver(engine(family, prompt_tokens_per_step=30))
    others = [driver.add(prompt, 12, temperature=1.0, seed=5) for prompt in prompts([5, 70])]
    prompt = prompts([40], seed=9)[0]
    # Only tokens whose bytes name them.
    options = options | {"logit_bias": NO_BYTES | options.get("logit_bias", {})}
    id = driver.add(prompt, 15, logprobs=5, **options)
    found = driver.finish()
    vocabulary = byte_vocabulary()
    known = {vocabulary.bytes_of(token): token for token in range(256)}
    tokens = [known[entry.chosen.piece] for entry in found[id].logprobs]
    expected = shares(family, prompt, tokens)
    assert len(tokens) == found[id].tokens == 15
    for place, entry in enumerate(found[id].logprobs):
        own = float(expected[place, tokens[place]])
        assert entry.chosen.logprob == pytest.approx(own, abs=1e-4)
        best = expected[place].topk(5)
        told = [likelihood.logprob for likelihood in entry.top]
        assert told == pytest.approx(best.values.tolist(), abs=1e-4)
        assert told == sorted(told, reverse=True)
        assert [likelihood.piece for likelihood in entry.top] == [
            vocabulary.bytes_of(token) for token in best.indices.tolist()
        ]
    assert all(found[other].logprobs == [] for other in others)


def test_a_chosen_greedy_token_is_the_first_of_its_alternatives() -> None:
    driver = Driver(engine())
    ids = {n: driver.add(prompts([20])[0], 10, logprobs=n) for n in (0, 1, 20)}
    found = driver.finish()
    for n, id in ids.items():
        assert [len(entry.top) for entry in found[id].logprobs] == [n] * 10
        assert n == 0 or all(entry.top[0] == entry.chosen for entry in found[id].logprobs)


def test_the_pieces_are_the_bytes_of_the_text_and_the_end_has_none() -> None:
    prompt = prompts([30])[0]
    driver = Driver(engine())
    id = driver.add(prompt, 12, logprobs=0)
    pieces = [entry.chosen.piece for entry in driver.finish()[id].logprobs]
    whole = b"".join(pieces)
    assert whole.decode("utf-8", "replace") == driver.completions[id].text
    vocabulary = byte_vocabulary()
    last = next(token for token in range(260) if vocabulary.bytes_of(token) == pieces[-1])
    if pieces.index(pieces[-1]) == len(pieces) - 1:
        ended = Driver(engine(ends=last))
        id = ended.add(prompt, 12, logprobs=0)
        found = ended.finish()[id]
        assert (found.reason, found.tokens, len(found.logprobs)) == ("stop", 12, 11)


def test_asking_for_them_changes_no_token() -> None:
    prompt = prompts([25])[0]
    texts = set()
    for wanted in (None, 20):
        driver = Driver(engine())
        id = driver.add(prompt, 25, temperature=0.9, seed=3, logprobs=wanted)
        texts.add(driver.finish()[id].text)
    assert len(texts) == 1
    assert text_of([]) not in texts
