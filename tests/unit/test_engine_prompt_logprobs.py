"""A prompt's logprobs equal a full forward, however the prompt is cut and whatever runs beside."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from jobs.logprobs import TokenLogprobs
from tests.unit.engine_models import (
    CONTEXT,
    Driver,
    byte_vocabulary,
    engine,
    network,
    prompts,
    reference,
    text_of,
)
from workers.engines.lm.engine import SCORED_TOKENS_PER_STEP, LmEngine


def expected(family: str, ids: Sequence[int]) -> torch.Tensor:
    """What stock transformers thinks of each place after the first, [places, vocabulary]."""
    with torch.inference_mode():
        logits: torch.Tensor = network(family)(torch.tensor([list(ids)])).logits[0]
    return logits[:-1].float().log_softmax(-1)


def check(family: str, ids: Sequence[int], told: Sequence[TokenLogprobs], top: int) -> None:
    vocabulary = byte_vocabulary()
    assert [entry.chosen.piece for entry in told] == [vocabulary.bytes_of(id) for id in ids]
    assert math.isnan(told[0].chosen.logprob)
    assert told[0].top == ()
    shares = expected(family, ids)
    for place, entry in enumerate(told[1:]):
        own = float(shares[place, ids[place + 1]])
        assert entry.chosen.logprob == pytest.approx(own, abs=1e-4)
        best = shares[place].topk(top)
        values = [one.logprob for one in entry.top]
        assert values == pytest.approx(best.values.tolist(), abs=1e-4)


@pytest.mark.parametrize("family", ["llama", "gemma3_text"])
@pytest.mark.parametrize("share", [7, 100, 512])
def test_they_equal_a_full_forward_beside_other_work(family: str, share: int) -> None:
    driver = Driver(engine(family, prompt_tokens_per_step=share))
    plain = prompts([30, 5], seed=3)
    others = [driver.add(prompt, 12) for prompt in plain]
    wanted = {}
    for ids, top, most in zip(prompts([1, 2, 60, 150, 301]), (2, 0, 3, 1, 5), (0, 3, 0, 9, 1),
                              strict=True):  # fmt: skip
        wanted[driver.add(ids, most, prompt_logprobs=top)] = (ids, top, most)
        driver.step()
    found = driver.finish()
    for id, (ids, top, most) in wanted.items():
        check(family, ids, found[id].prompt_logprobs, top)
        assert (found[id].tokens, found[id].reason) == (most, "length")
        assert found[id].text == text_of(reference(family, ids, most)) if most else True
    for id, prompt in zip(others, plain, strict=True):
        assert found[id].text == text_of(reference(family, prompt, 12))
        assert found[id].prompt_logprobs == []


def test_a_step_has_few_rows_that_need_the_whole_vocabulary() -> None:
    widths = []

    class Watched(LmEngine):
        def _run(self, batch: Any) -> torch.Tensor:
            logits = super()._run(batch)
            widths.append(logits.shape[0])
            return logits

    running = engine()
    running.__class__ = Watched
    driver = Driver(running)
    for prompt in prompts([CONTEXT - 1] * 4):
        driver.add(prompt, 0, prompt_logprobs=1)
    found = driver.finish()
    assert all(len(one.prompt_logprobs) == CONTEXT - 1 for one in found.values())
    assert max(widths) <= SCORED_TOKENS_PER_STEP + 4


def test_prompts_that_are_only_read_hold_up_no_plain_prompt() -> None:
    driver = Driver(engine())
    for prompt in prompts([300] * 3):
        driver.add(prompt, 0, prompt_logprobs=0)
    plain = driver.add(prompts([200])[0], 5)
    driver.step()
    assert driver.completions[plain].tokens == 1
    driver.finish()


def test_nothing_is_generated_of_no_tokens() -> None:
    driver = Driver(engine())
    id = driver.add(prompts([20])[0], 0, logprobs=2, temperature=1.0, presence_penalty=1.0)
    one = driver.finish()[id]
    assert (one.text, one.tokens, one.reason, one.logprobs) == ("", 0, "length", [])
    assert driver.engine.active == 0


def test_asking_for_them_changes_no_token_and_tells_the_end_too() -> None:
    prompt = prompts([30])[0]
    last = reference("llama", prompt, 6)[-1]
    told = []
    for wanted in (None, 0):
        driver = Driver(engine(ends=last))
        id = driver.add(prompt, 12, logprobs=0, prompt_logprobs=wanted)
        told.append(driver.finish()[id])
    plain, scored = told
    assert (plain.text, plain.tokens, plain.reason) == (scored.text, scored.tokens, "stop")
    assert scored.logprobs[:-1] == plain.logprobs
    assert len(scored.logprobs) == scored.tokens
    assert scored.logprobs[-1].chosen.piece == byte_vocabulary().bytes_of(last)


def test_what_was_removed_leaves_the_others_alone() -> None:
    driver = Driver(engine(prompt_tokens_per_step=40))
    ids = prompts([90, 90])
    gone, stays = (driver.add(prompt, 0, prompt_logprobs=1) for prompt in ids)
    driver.step()
    assert driver.engine.remove(gone) is not None
    check("llama", ids[1], driver.finish()[stays].prompt_logprobs, 1)
