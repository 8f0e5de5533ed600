"""Columns of logprobs: where tokens begin, and which alternatives are told."""

from typing import Any

from routing.openai.text_logprobs import Columns, beginning


def entry(piece: bytes, logprob: float | None = -1.0, **top: float) -> dict[str, Any]:
    others = [{"token": text, "bytes": [], "logprob": value} for text, value in top.items()]
    text = piece.decode("utf-8", "replace")
    return {"token": text, "bytes": list(piece), "logprob": logprob, "top_logprobs": others}


def test_offsets_go_on_from_chunk_to_chunk_and_count_characters() -> None:
    columns = Columns()
    first = columns.of([entry("h\u00e9".encode()), entry(b"\xf0\x9f")])
    second = columns.of([entry(b"\x98\x80"), entry(b"x")])
    assert first["text_offset"] + second["text_offset"] == [0, 2, 2, 3]


def test_a_token_stands_among_its_alternatives_and_the_likelier_of_two_alike_is_told() -> None:
    [top] = Columns().of([entry(b"c", -3.0, a=-0.5, b=-1.0)])["top_logprobs"]
    assert list(top.items()) == [("a", -0.5), ("b", -1.0), ("c", -3.0)]
    alike = entry(b"\xff", -2.0) | {"top_logprobs": [
        {"token": "\ufffd", "bytes": [1], "logprob": -0.1},
        {"token": "\ufffd", "bytes": [2], "logprob": -0.9},
    ]}  # fmt: skip
    assert Columns().of([alike])["top_logprobs"] == [{"\ufffd": -0.1}]


def test_what_a_tokenizer_puts_before_a_text_does_not_move_it() -> None:
    read = [entry(b"<s>", None), entry(b" hi"), entry(b"!")]
    columns = Columns(beginning(read, "hi!")).of(read)
    assert columns["text_offset"] == [0, 0, 2]
    assert columns["token_logprobs"] == [None, -1.0, -1.0]
    assert columns["top_logprobs"][0] is None
    assert beginning(read, "other") == 0
