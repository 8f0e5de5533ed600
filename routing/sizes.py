"""Whether what a job asks for fits its model and its result."""

from typing import Any

from jobs.errors import InvalidRequest, PromptTooLong
from jobs.spec import MAX_COMPLETION_TOKENS, MAX_LOGPROBS, Parameters, Task
from models_store.catalog import ModelVersion


def fit(
    task: Task, parameters: Parameters, prompt_tokens: int, version: ModelVersion
) -> tuple[dict[str, Any], int]:
    """The parameters, with a `max_tokens` that was not asked for cut to what fits,
    and the most tokens that are written."""
    if task is Task.EMBED:
        return parameters.model_dump(exclude_defaults=True), 0
    if prompt_tokens == 0:
        raise InvalidRequest("the prompt is empty once it is tokenized", param="input")
    room = version.context_length - prompt_tokens
    most = MAX_COMPLETION_TOKENS if parameters.max_tokens is None else parameters.max_tokens
    asked = "max_tokens" in parameters.model_fields_set and parameters.max_tokens is not None
    if room < 1 or (asked and most > room):
        wanted = f" and {most:,} of completion" if asked else ""
        raise PromptTooLong(
            f"{prompt_tokens:,} tokens of prompt{wanted} do not fit the "
            f"{version.context_length:,} tokens of {version.reference}",
            param="parameters.max_tokens" if room >= 1 else "input",
        )
    # Defaults never change; a row of the queue is read and written often.
    values = parameters.model_dump(exclude_defaults=True)
    values["max_tokens"] = min(most, room)
    _check_logprobs(parameters, values["max_tokens"], prompt_tokens)
    return values, values["max_tokens"] * parameters.n


def _check_logprobs(parameters: Parameters, max_tokens: int, prompt_tokens: int) -> None:
    told = max_tokens * parameters.n * (1 + parameters.top_logprobs) if parameters.logprobs else 0
    read = parameters.prompt_logprobs
    told += 0 if read is None else prompt_tokens * (1 + read)
    if told > MAX_LOGPROBS:
        raise InvalidRequest(
            f"max_tokens, n, top_logprobs and prompt_logprobs ask for up to {told:,} logprobs, "
            f"and a result holds {MAX_LOGPROBS:,}; ask for less",
            param="parameters.logprobs" if parameters.logprobs else "parameters.prompt_logprobs",
        )
