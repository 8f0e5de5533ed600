"""Ids become text piece by piece, and the pieces are the whole."""

import random

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models

from tests.unit.engine_models import byte_vocabulary
from workers.engines.detokenizer import Detokenizer, Reader, Vocabulary
from workers.engines.stops import StopFinder


def fallback_vocabulary() -> Vocabulary:
    """As sentencepiece models have it: pieces with a space mark, and bytes."""
    pieces = ["<unk>", "▁a", "▁the", "b", "ç", "▁", "😀", "."]
    pieces += [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, []))
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens([AddedToken("<end>", special=True)])
    return Vocabulary(tokenizer)


@pytest.mark.parametrize("make", [byte_vocabulary, fallback_vocabulary])
def test_pieces_of_any_ids_add_up_to_the_decoded_whole(make: object) -> None:
    vocabulary = make()  # type: ignore[operator]
    size = vocabulary.tokenizer.get_vocab_size()
    chance = random.Random(3)
    for _ in range(300):
        few = [chance.randrange(size) for _ in range(chance.choice([4, 12, size]))]
        ids = [chance.choice(few) for _ in range(chance.randrange(1, 60))]
        detokenizer = Detokenizer(vocabulary)
        pieces = [detokenizer.feed(id) for id in ids]
        assert "".join(pieces) + detokenizer.flush() == vocabulary.decode(ids)


def test_half_a_character_is_not_shown() -> None:
    vocabulary = byte_vocabulary()
    ids = vocabulary.tokenizer.encode("aé😀").ids
    detokenizer = Detokenizer(vocabulary)
    assert [detokenizer.feed(id) for id in ids] == ["a", "", "é", "", "", "", "😀"]


def test_special_tokens_have_no_text() -> None:
    vocabulary = byte_vocabulary()
    (end,) = vocabulary.special
    assert Detokenizer(vocabulary).feed(end) == ""


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
@pytest.mark.parametrize(
    ("text", "stops", "before"),
    [
        ("one two three", ("two",), "one "),
        ("one two three", ("three", "two"), "one "),
        ("aaab", ("aab",), "a"),
        ("abcd", ("abcd", "c"), "ab"),
        ("xabc", ("bc", "abc"), "x"),
        ("no stop here", ("herein",), "no stop here"),
        ("anything", (), "anything"),
        ("anything", ("",), "anything"),
    ],
)
def test_the_first_complete_stop_wins_however_the_text_is_cut(
    text: str, stops: tuple[str, ...], before: str, size: int
) -> None:
    finder = StopFinder(stops)
    pieces = [finder.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join(pieces) + finder.flush() == before
    assert finder.found == (before != text)


def test_a_stop_string_may_end_inside_the_last_undecodable_bytes() -> None:
    vocabulary = byte_vocabulary()
    reader = Reader(vocabulary, ("\ufffd",))
    ids = vocabulary.tokenizer.encode("aé").ids[:2]
    assert [reader.feed(id) for id in ids] == ["a", ""]
    assert reader.flush() == ""
    assert reader.stopped
