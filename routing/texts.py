"""How many tokens the texts of an `embed` job have, and whether the model reads them."""

from collections.abc import Sequence

from jobs.errors import InvalidRequest, LmaasError, PromptTooLong
from models_store.catalog import ModelVersion
from models_store.prompt import PromptRenderer


def count(
    renderer: PromptRenderer, version: ModelVersion, items: Sequence[str | Sequence[int]]
) -> int:
    """Tokens of all texts together.

    Raises `PromptTooLong` or `InvalidRequest` with the number of the text.
    """
    total = 0
    for number, item in enumerate(items):
        where = f"input.input.{number}"
        try:
            tokens = len(renderer.tokens(item))
        except LmaasError as error:
            error.param = where
            raise
        if tokens == 0:
            raise InvalidRequest("the text is empty once it is tokenized", param=where)
        if tokens > version.context_length:
            raise PromptTooLong(
                f"text number {number}, counted from 0, has {tokens:,} tokens; "
                f"{version.reference} reads {version.context_length:,} of one text",
                param=where,
            )
        total += tokens
    return total
