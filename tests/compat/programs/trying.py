"""What the programs share: one thing after the other, none ends the others."""

import json
import os
from collections.abc import Callable

URL = os.environ.get("LMAAS_URL", "")
KEY = os.environ.get("LMAAS_API_KEY", "")
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
FORM = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "sure": {"type": "boolean"}},
    "required": ["city", "sure"],
    "additionalProperties": False,
}
TEXTS = ["A cat sits outside.", "A kitten in the garden.", "Shares fell sharply today."]


def attempt(what: str, act: Callable[[], object]) -> None:
    """Tries one thing and says how it went; what is false does not work."""
    try:
        why = "" if act() else "another answer than was expected"
    except Exception as error:
        why = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
        if os.environ.get("LOUD"):
            raise
    print(f"failed {what}: {why}" if why else f"ok {what}", flush=True)


def fits(text: str) -> bool:
    """Whether a text is JSON of the form."""
    return set(json.loads(text)) == {"city", "sure"}


def alike(vectors: list[list[float]]) -> bool:
    """Whether the first two of the texts are nearer than the first and the last."""

    def product(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    cat, kitten, market = vectors
    return len(cat) == 384 and product(cat, kitten) > 0.5 > product(cat, market)
