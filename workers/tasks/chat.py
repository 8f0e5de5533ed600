"""`chat`: the model answers a conversation in its own chat template."""

from collections.abc import Mapping
from typing import Any

from models_store.prompt import PromptRenderer


def prompt_tokens(renderer: PromptRenderer, job_input: Mapping[str, Any]) -> list[int]:
    """The rendered conversation's tokens; the template writes all special ones."""
    return renderer.encode(renderer.chat(job_input["messages"]), special=False)
