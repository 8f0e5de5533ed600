"""Sequences join, leave and share the cache without touching each other."""

import pytest

from jobs.errors import EngineFailed, InvalidRequest, PromptTooLong
from tests.unit.engine_models import CONTEXT, Driver, engine, prompts, reference, text_of
from workers.engines.protocol import Partial


def expected(prompt: list[int], tokens: int) -> str:
    return text_of(reference("llama", prompt, tokens))


def test_sequences_that_join_in_mid_run_get_their_own_text() -> None:
    driver = Driver(engine())
    wanted = {}
    for prompt in prompts([30, 62, 5, 100, 64, 61, 1, 70]):
        wanted[driver.add(prompt, 25)] = expected(prompt, 25)
        driver.step()
        driver.step()
    found = driver.finish()
    assert {id: found[id].text for id in wanted} == wanted


def test_removing_a_sequence_leaves_the_neighbours_tokens() -> None:
    driver = Driver(engine())
    texts = prompts([20, 30, 40, 50, 10])
    ids = [driver.add(prompt, 40) for prompt in texts]
    for _ in range(10):
        driver.step()
    gone = [ids[0], ids[3]]
    for id in gone:
        rest = driver.engine.remove(id)
        assert rest is not None
        assert rest.completion_tokens == 10
        whole = text_of(reference("llama", texts[ids.index(id)], 10))
        assert driver.completions[id].text + rest.text == whole
    found = driver.finish()
    for id, prompt in zip(ids, texts, strict=True):
        if id not in gone:
            assert found[id].text == expected(prompt, 40)


def test_removing_in_the_middle_of_a_prompt() -> None:
    driver = Driver(engine(prompt_tokens_per_step=16))
    short, long, late = prompts([60, 100, 30])
    kept = driver.add(short, 30)
    gone = driver.add(long, 30)
    waiting = driver.add(late, 30)
    for _ in range(6):
        driver.step()
    assert driver.engine.remove(gone) == Partial("", 0)
    assert driver.engine.remove(waiting) == Partial("", 0)
    assert driver.engine.remove(waiting) is None
    assert driver.engine.active == 1
    assert driver.finish()[kept].text == expected(short, 30)


def test_a_prompt_in_parts_behind_sequences_that_outgrow_their_slots() -> None:
    driver = Driver(engine(prompt_tokens_per_step=9))
    growing = prompts([58, 60, 62, 63])
    wanted = {driver.add(prompt, 30): expected(prompt, 30) for prompt in growing}
    for _ in range(27):
        driver.step()
    for prompt in prompts([100, 110], seed=3):
        wanted[driver.add(prompt, 10)] = expected(prompt, 10)
    found = driver.finish()
    assert {id: found[id].text for id in wanted} == wanted


def test_a_full_cache_makes_sequences_wait_their_turn() -> None:
    # Each takes one slot of 64 tokens; there is memory for two.
    driver = Driver(engine(kv_tokens=128))
    texts = prompts([10, 11, 12, 13, 14])
    wanted = {driver.add(prompt, 20): expected(prompt, 20) for prompt in texts}
    driver.step()
    assert sum(c.tokens for c in driver.completions.values()) == 2
    assert driver.engine.active == 5
    found = driver.finish()
    assert {id: found[id].text for id in wanted} == wanted


def test_the_cache_keeps_to_its_memory_budget() -> None:
    running = engine(kv_tokens=1500)
    driver = Driver(running)
    texts = prompts([60, 100, 10, 63, 120, 50, 30, 62, 126, 61])
    wanted = {driver.add(prompt, 40): expected(prompt, 40) for prompt in texts}
    largest = 0
    while running.active:
        driver.step()
        largest = max(largest, running.allocated_kv_tokens)
    # One slot more while a sequence moves to a longer one.
    assert largest <= 1500 + 192
    assert {key: c.text for key, c in driver.completions.items()} == wanted


def test_what_can_never_fit_is_refused_and_leaves_the_batch_as_it_was() -> None:
    driver = Driver(engine(kv_tokens=256))
    with pytest.raises(PromptTooLong, match=f"context is {CONTEXT}"):
        driver.add(prompts([CONTEXT])[0], 1)
    with pytest.raises(PromptTooLong, match="KV cache of 256 tokens"):
        driver.add(prompts([100])[0], 200)
    with pytest.raises(InvalidRequest):
        driver.add([], 5)
    with pytest.raises(InvalidRequest):
        driver.add([1, 5_000], 5)
    assert driver.engine.active == 0
    assert driver.engine.step() == []


def test_no_more_sequences_than_slots() -> None:
    driver = Driver(engine(slots=2))
    for prompt in prompts([3, 4]):
        driver.add(prompt)
    with pytest.raises(EngineFailed):
        driver.add([1])
    driver.finish()
    driver.add([1])


def test_a_text_ends_where_the_context_ends() -> None:
    driver = Driver(engine())
    prompt = prompts([CONTEXT - 7])[0]
    id = driver.add(prompt, 50)
    found = driver.finish()[id]
    assert (found.tokens, found.reason) == (7, "length")
    assert found.text == expected(prompt, 7)


def test_a_step_takes_no_more_prompt_than_its_cap() -> None:
    driver = Driver(engine(prompt_tokens_per_step=50))
    first, second = (driver.add(prompt, 5) for prompt in prompts([40, 100]))
    driver.step()
    assert driver.completions[first].tokens == 1
    driver.step()
    assert driver.completions[second].tokens == 0
    driver.step()
    assert driver.completions[second].tokens == 1
