"""JSON of strangers is bounded before it is parsed."""

from time import perf_counter

import pytest

from jobs.errors import ModelRefused
from models_store import json_files


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"1", 0),
        (b"{}", 1),
        (b'{"a": [[]]}', 3),
        (b'["[[[[", "\\"[[[", {}]', 2),
        (b'["\\\\", [["]]]"]]]', 3),
        ('["é日本[[", []]'.encode(), 2),
    ],
)
def test_depth_counts_brackets_outside_strings(data: bytes, expected: int) -> None:
    assert json_files.depth(data) == expected


@pytest.mark.parametrize(
    "data",
    [b"[" * 10**6, b'{"a":' * 10**6, b"[" * 10**6 + b"]" * 10**6],
    ids=["arrays", "objects", "closed"],
)
def test_a_million_levels_are_refused_not_recursed_into(data: bytes) -> None:
    with pytest.raises(ModelRefused, match=r"x\.json is nested deeper than 64"):
        json_files.parse(data, where="x.json")


@pytest.mark.parametrize("unit", [b'"', b'\\"', b'"\\', b'\\\\"', b'"\\"'])
def test_unfinished_strings_cost_linear_time(unit: bytes) -> None:
    begin = perf_counter()
    json_files.depth(unit * 2_000_000)
    # Quadratic work on four megabytes would take days.
    assert perf_counter() - begin < 20


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a": NaN}', "NaN is no JSON number"),
        (b'{"a": -Infinity}', "-Infinity is no JSON number"),
        (b'{"a": 1, "a": 2}', "same key twice"),
        (b'{"a": {"b": 1, "b": 2}}', "same key twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        ('{"a": 1}'.encode("utf-16"), "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        (b'{"a": "\xff"}', "not valid JSON"),
    ],
)
def test_what_is_not_strict_json_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ModelRefused, match=message):
        json_files.parse(data, where="x.json")
