"""Which form a completion must have: any text, a JSON object, or JSON of a schema.

Shapes and bounds only; what of JSON Schema can be obeyed, `models_store.grammar`
knows. The names are those of OpenAI's API.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from jobs.fields import Strict, Text, storable

MAX_SCHEMA_CHARACTERS = 65_536
MAX_SCHEMA_DEPTH = 48


class TextFormat(Strict):
    """Any text."""

    type: Literal["text"]


class JsonObjectFormat(Strict):
    """Some JSON object."""

    type: Literal["json_object"]


def _bounded(schema: dict[str, Any]) -> dict[str, Any]:
    _check_depth(schema, MAX_SCHEMA_DEPTH)
    if len(json.dumps(schema)) > MAX_SCHEMA_CHARACTERS:
        raise ValueError(f"the schema has more than {MAX_SCHEMA_CHARACTERS:,} characters")
    return schema


def _check_depth(value: object, left: int) -> None:
    if isinstance(value, str):
        storable(value)
    if not isinstance(value, dict | list):
        return
    if not left:
        raise ValueError(f"the schema is nested more than {MAX_SCHEMA_DEPTH} deep")
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        _check_depth(key, left)
        _check_depth(item, left - 1)


class JsonSchema(Strict):
    """A schema and its name. It is obeyed to the letter, whatever `strict` says."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: Text | None = None
    definition: Annotated[dict[str, Any], AfterValidator(_bounded)] = Field(alias="schema")
    strict: bool | None = None


class JsonSchemaFormat(Strict):
    """JSON that the schema accepts."""

    type: Literal["json_schema"]
    json_schema: JsonSchema


ResponseFormat = Annotated[
    TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")
]
