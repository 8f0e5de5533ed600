"""`embed`: the model reads texts and makes a vector of each."""

from collections.abc import Mapping
from typing import Any

from models_store.prompt import PromptRenderer


def texts(renderer: PromptRenderer, job_input: Mapping[str, Any]) -> list[list[int]]:
    """The token ids of each text; a list of token ids stays as it is."""
    return [renderer.tokens(item) for item in job_input["input"]]
