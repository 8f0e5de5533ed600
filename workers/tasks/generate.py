"""`generate`: the model continues a prompt as it stands."""

from collections.abc import Mapping
from typing import Any

from models_store.prompt import PromptRenderer


def prompt_tokens(renderer: PromptRenderer, job_input: Mapping[str, Any]) -> list[int]:
    """The prompt's tokens, with what the tokenizer puts around a plain text."""
    return renderer.encode(job_input["prompt"], special=True)
