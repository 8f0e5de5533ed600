"""The body of POST /v1/embeddings; compare `openai.types` (3.51)."""

from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.embed_input import EmbedItems
from jobs.spec import ShortText, Strict
from routing.openai.fields import Inert, OneOrMany, only


class EmbeddingRequest(Strict):
    """POST /v1/embeddings. A text alone is one item, a list of token ids too."""

    model: ShortText
    input: Annotated[EmbedItems, OneOrMany]
    encoding_format: Literal["float", "base64"] = Field(
        default="float", description="`base64`: little-endian 32-bit floats"
    )
    # No model here was trained for shorter vectors than its own.
    dimensions: Annotated[Any, only()] = None
    user: Inert = None
