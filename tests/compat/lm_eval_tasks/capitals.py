"""Counts answers of the task `lmaas_capitals`."""

from typing import Any


def process_results(doc: dict[str, Any], results: list[str]) -> dict[str, float]:
    """Whether there is an answer, and whether it names the capital."""
    text = results[0]
    return {"answered": float(bool(text.strip())), "right": float(doc["capital"] in text)}
