"""Logprobs keep their bytes and numbers on the way through a stream and into a result."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.logprobs import (
    Likelihood,
    TokenLogprobs,
    pack,
    shown,
    shown_of_prompt,
    unforetold,
    unpack,
)

LIKELIHOODS = st.builds(
    Likelihood, st.binary(max_size=40), st.floats(max_value=0, width=32, allow_nan=False)
)
ENTRIES = st.builds(
    TokenLogprobs, LIKELIHOODS, st.lists(LIKELIHOODS, max_size=20).map(tuple)
)  # fmt: skip


@given(st.lists(ENTRIES, max_size=6))
def test_what_is_packed_comes_out_again(entries: list[TokenLogprobs]) -> None:
    assert unpack(pack(entries)) == entries


@given(st.text(max_size=60) | st.binary(max_size=60).map(bytes.hex))
def test_what_nobody_packed_is_an_error_or_some_entries(forged: str) -> None:
    try:
        unpack(forged)
    except ValueError:
        return


def test_a_part_of_what_was_packed_is_an_error() -> None:
    packed = base64.b64decode(pack([TokenLogprobs(Likelihood(b"hello", -1.5))]))
    for end in range(1, len(packed)):
        with pytest.raises(ValueError, match="no packed logprobs"):
            unpack(base64.b64encode(packed[:end]).decode())


def test_a_likelihood_takes_about_fifteen_characters() -> None:
    entry = TokenLogprobs(Likelihood(b" the", -1.5), (Likelihood(b" the", -1.5),) * 20)
    assert len(pack([entry] * 100)) < 100 * 21 * 15


def test_a_token_that_is_no_text_is_shown_with_its_bytes() -> None:
    told = shown(TokenLogprobs(Likelihood(b"\xc3", -0.5), (Likelihood(b"\x00", -0.5),)))
    assert (told["token"], told["bytes"], told["logprob"]) == ("\ufffd", [0xC3], -0.5)
    assert told["top_logprobs"] == [{"token": "\ufffd", "bytes": [0], "logprob": -0.5}]


def test_nothing_foretells_the_first_token_of_a_prompt() -> None:
    later = TokenLogprobs(Likelihood(b"b", -1.0))
    told = shown_of_prompt([unforetold(b"a"), later])
    assert [(one["token"], one["logprob"]) for one in told] == [("a", None), ("b", -1.0)]
