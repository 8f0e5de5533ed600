"""Task types: how a job's input becomes what an engine is asked for.

One module for each type, one row here: in `PROMPTS` for what writes, in `TEXTS`
for what reads. The input's schema stands in `jobs.spec`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jobs.errors import UnknownTask
from jobs.spec import Task
from models_store.prompt import PromptRenderer
from workers.tasks import chat, embed, generate

Tokenize = Callable[[PromptRenderer, Mapping[str, Any]], list[int]]
TokenizeAll = Callable[[PromptRenderer, Mapping[str, Any]], list[list[int]]]

PROMPTS: dict[str, Tokenize] = {
    Task.GENERATE: generate.prompt_tokens,
    Task.CHAT: chat.prompt_tokens,
}
TEXTS: dict[str, TokenizeAll] = {Task.EMBED: embed.texts}


def prompt_tokens(task: str, renderer: PromptRenderer, job_input: Mapping[str, Any]) -> list[int]:
    """Token ids of a job's prompt, special tokens included.

    Raises `UnknownTask` for a type that this release does not run.
    """
    tokenize = PROMPTS.get(task)
    if tokenize is None:
        raise UnknownTask(f"this worker does not know the task type {task!r}", param="task")
    return tokenize(renderer, job_input)
