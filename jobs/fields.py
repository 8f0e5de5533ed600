"""What all schemas of requests are made of: strict models and storable texts."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_TEXT = 400_000


def storable(text: str) -> str:
    """The text itself. Raises `ValueError` for what is not text or cannot be stored."""
    # Postgres text and jsonb hold neither; strict JSON parsers refuse lone
    # surrogates on the way in, Python callers may still carry them.
    if "\x00" in text:
        raise ValueError("contains NUL (U+0000), which cannot be stored; remove it")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            told = "contains a lone surrogate (half of a UTF-16 pair), which is not text"
            raise ValueError(told) from None
    return text


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(storable)]
FilledText = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(storable)]
TokenId = Annotated[int, Field(ge=0, le=4_000_000)]
ShortText = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(storable)]


class Strict(BaseModel):
    """A schema that refuses unknown fields, coerced types, NaN and infinity."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, ser_json_inf_nan="null"
    )
