"""The input of `embed`: texts, or lists of token ids."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError

from jobs.fields import MAX_TEXT, FilledText, Strict, TokenId

# As many as OpenAI takes.
MAX_TEXTS = 2_048

_TEXT = TypeAdapter(FilledText)
_TOKENS = TypeAdapter(Annotated[list[TokenId], Field(min_length=1, max_length=MAX_TEXT)])


def _text_or_tokens(value: object) -> object:
    # Not a union: of a union's errors nobody can tell which one is meant.
    if isinstance(value, str):
        reader: TypeAdapter[Any] = _TEXT
    elif isinstance(value, list):
        reader = _TOKENS
    else:
        raise PydanticCustomError("embed_item", "is neither a text nor a list of token ids")
    try:
        return reader.validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"token {part}: " for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise PydanticCustomError("embed_item", "{said}", {"said": where + said}) from None


EmbedItem = Annotated[
    str | list[int],
    BeforeValidator(_text_or_tokens),
    WithJsonSchema({"anyOf": [_TEXT.json_schema(), _TOKENS.json_schema()]}),
]
EmbedItems = Annotated[list[EmbedItem], Field(min_length=1, max_length=MAX_TEXTS)]


class EmbedInput(Strict):
    """Input of `embed`: a vector is made of each item. Token ids are read as they
    stand; texts get what the model expects around them."""

    input: EmbedItems
