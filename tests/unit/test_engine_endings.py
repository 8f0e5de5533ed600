"""Where a completion ends: end tokens, stop strings, the token limit."""

import pytest

from tests.unit.engine_models import Driver, engine, prompts, reference, text_of


@pytest.mark.parametrize("as_list", [False, True])
def test_an_end_token_ends_the_text_and_is_not_part_of_it(as_list: bool) -> None:
    prompt = prompts([12])[0]
    ids = reference("llama", prompt, 40)
    end = next(id for id in ids[5:] if ids.index(id) >= 5)
    at = ids.index(end)
    driver = Driver(engine(ends=[255, end] if as_list else end))
    id = driver.add(prompt, 40)
    found = driver.finish()[id]
    assert found.reason == "stop"
    assert found.tokens == at + 1
    assert found.text == text_of(ids[:at])


def test_a_stop_string_ends_the_text_before_it() -> None:
    prompt = prompts([12])[0]
    whole = text_of(reference("llama", prompt, 60))
    # Several characters, so that it begins in one token and ends in another.
    stop = whole[20:24]
    driver = Driver(engine())
    id = driver.add(prompt, 60, stop=("never in there", stop))
    found = driver.finish()[id]
    assert found.reason == "stop"
    assert found.text == whole[: whole.index(stop)]
    assert found.tokens < 60


def test_the_beginning_of_a_stop_string_is_kept_when_it_does_not_come() -> None:
    prompt = prompts([12])[0]
    whole = text_of(reference("llama", prompt, 30))
    driver = Driver(engine())
    id = driver.add(prompt, 30, stop=(whole[-3:] + "zzz",))
    found = driver.finish()[id]
    assert (found.text, found.reason) == (whole, "length")


def test_removal_returns_the_text_that_was_held_back() -> None:
    prompt = prompts([12])[0]
    whole = text_of(reference("llama", prompt, 6))
    driver = Driver(engine())
    id = driver.add(prompt, 30, stop=(whole + "zzz",))
    for _ in range(6):
        driver.step()
    assert driver.completions[id].text == ""
    rest = driver.engine.remove(id)
    assert rest is not None
    assert rest.text == whole
