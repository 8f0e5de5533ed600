"""Every supported family says what transformers' `generate` says."""

import pytest
import torch

from jobs.errors import UnsupportedModel
from tests.unit.engine_models import FAMILIES, WINDOW, Driver, engine, prompts, reference, text_of
from workers.engines.lm import families

LENGTHS = [1, 5, 17, 40, 63, 64, 65, 90, 130]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_equals_generate_whatever_the_batch(family: str, fused: bool) -> None:
    driver = Driver(engine(family, fused=fused))
    tokens = 40
    expected = {
        driver.add(prompt, tokens): text_of(reference(family, prompt, tokens))
        for prompt in prompts(LENGTHS)
    }
    found = driver.finish()
    assert {id: found[id].text for id in expected} == expected
    assert {c.reason for c in found.values()} == {"length"}


@pytest.mark.parametrize("per_step", [WINDOW + 5, 512])
@pytest.mark.parametrize("family", FAMILIES)
def test_long_prompts_and_what_left_a_sliding_window(family: str, per_step: int) -> None:
    driver = Driver(engine(family, prompt_tokens_per_step=per_step))
    prompt = prompts([14 * WINDOW])[0]
    id = driver.add(prompt, 30)
    assert driver.finish()[id].text == text_of(reference(family, prompt, 30))


@pytest.mark.parametrize("family", FAMILIES)
def test_prompts_in_parts_give_the_same_text(family: str) -> None:
    for per_step in (7, 32, 100):
        driver = Driver(engine(family, prompt_tokens_per_step=per_step))
        expected = {
            driver.add(prompt, 12): text_of(reference(family, prompt, 12))
            for prompt in prompts([50, 3, 131, 64])
        }
        found = driver.finish()
        assert {id: found[id].text for id in expected} == expected


def test_a_family_that_is_not_tested_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModel, match=r"'mamba'.*gemma3_text, llama, qwen2, qwen3"):
        families.check({"model_type": "mamba"})


@pytest.mark.parametrize(
    "extra",
    [
        {"auto_map": {"AutoModel": "code.Model"}},
        {"attn_logit_softcapping": 50.0},
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
        {"rope_scaling": {"type": "longrope"}},
        {"rope_parameters": {"full_attention": {"rope_type": "proportional"}}},
    ],
)
def test_variants_that_would_be_wrong_are_refused(extra: dict[str, object]) -> None:
    with pytest.raises(UnsupportedModel):
        families.check({"model_type": "llama", **extra})


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_on_a_cuda_device(family: str) -> None:
    driver = Driver(engine(family, device="cuda:0"))
    expected = {
        driver.add(prompt, 20): text_of(reference(family, prompt, 20))
        for prompt in prompts(LENGTHS)
    }
    found = driver.finish()
    assert {id: found[id].text for id in expected} == expected
