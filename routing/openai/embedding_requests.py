"""The body of POST /v1/embeddings; compare `openai.types` (3.51)."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from jobs.embed_input import EmbedItems
from jobs.spec import ShortText, Strict
from routing.openai.fields import Inert, only


def _listed(value: object) -> object:
    """A text alone and a list of token ids alone are one item."""
    one = isinstance(value, str) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], int)
    )
    return [value] if one else value


class EmbeddingRequest(Strict):
    """POST /v1/embeddings. A text alone is one item, a list of token ids too."""

    model: ShortText
    input: Annotated[
        EmbedItems,
        BeforeValidator(
            _listed, json_schema_input_type=str | list[str] | list[int] | list[list[int]]
        ),
    ]
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="`base64`: little-endian 32-bit floats"
    )
    # No model here was trained for shorter vectors than its own.
    dimensions: Annotated[Any, only()] = None
    user: Inert = None
