"""`generate`: the model continues a prompt as it stands."""

from collections.abc import Mapping
from typing import Any

from models_store.prompt import PromptRenderer


def prompt_tokens(renderer: PromptRenderer, job_input: Mapping[str, Any]) -> list[int]:
    """The prompt's tokens: as they were given, or those of its text with what the
    tokenizer puts around a plain one."""
    ids = job_input.get("prompt_token_ids")
    if ids is not None:
        return list(ids)
    return renderer.encode(job_input["prompt"], special=True)
