"""What is asked of the routes of files and uploads, and what of it is refused."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from api.queries import Parameters
from jobs.fields import ShortText, Strict, storable

# `batch_output` is made by the server alone.
Given = Literal["batch", "user_data", "evals", "fine-tune"]
Filename = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(storable)]
_LifeS = Annotated[int, Field(ge=3_600, le=2_592_000)]
_BINARY: dict[str, JsonValue] = {"type": "string", "format": "binary"}


class FileForm(BaseModel):
    """The form of a file: its bytes, and what they are for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Any = Field(default=None, json_schema_extra=_BINARY)
    purpose: Given
    anchor: Literal["created_at"] | None = Field(default=None, alias="expires_after[anchor]")
    life_s: _LifeS | None = Field(
        default=None,
        alias="expires_after[seconds]",
        description="from its creation on; without it the file stays",
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> "FileForm":
        if (self.anchor is None) != (self.life_s is None):
            raise PydanticCustomError(
                "value_error", "needs `anchor` and `seconds`", {"param": "expires_after"}
            )
        return self


class PartForm(BaseModel):
    """The form of a part: its bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Any = Field(default=None, json_schema_extra=_BINARY)


class ExpiresAfter(Strict):
    """How long a file lives."""

    anchor: Literal["created_at"]
    seconds: _LifeS


class UploadRequest(Strict):
    """A file that is to come in parts."""

    bytes: int = Field(ge=1, le=10**12)
    filename: Filename
    mime_type: ShortText
    purpose: Given
    expires_after: ExpiresAfter | None = None


class CompleteRequest(Strict):
    """Which parts make the file, in their order."""

    part_ids: list[Annotated[str, Field(max_length=64)]] = Field(min_length=1, max_length=10_000)
    md5: str | None = Field(default=None, pattern=r"^[0-9a-fA-F]{32}$")


class FilePath(Parameters):
    """The id of a file."""

    file_id: str


class UploadPath(Parameters):
    """The id of an upload."""

    upload_id: str


class FileListQuery(Parameters):
    """Which files, and which page of them."""

    after: str | None = Field(default=None, max_length=64, description="the last id seen")
    limit: int = Field(default=10_000, ge=1, le=10_000, description="a page has 1,000 at most")
    order: Literal["asc", "desc"] = "desc"
    purpose: str | None = Field(default=None, max_length=64, pattern=r"^[^\x00]*$")
