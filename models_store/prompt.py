"""From messages to a prompt, from a prompt to token ids, and back.

The one renderer of the router and the workers: a prompt is counted with the
same code that the engine reads it with. Equal to transformers' on the real
template (tests/integration/test_prompt_equality.py), without importing it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from threading import Lock

from tokenizers import Encoding, Tokenizer

from jobs.errors import InvalidRequest, InvalidText, ModelCorrupt, ModelRefused
from models_store import model_config, tokenizer_files
from models_store.catalog import ModelVersion
from models_store.chat_template import ChatTemplate
from models_store.folders import version_folder

_CACHED = 16
# Characters that are read in less time than handing the interpreter over takes.
_SHORT = 500
_loading = Lock()


class PromptRenderer:
    """One model's tokenizer and chat template; safe in several threads at once."""

    __slots__ = ("_template", "_tokenizer", "_vocab_size")

    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate | None, vocab_size: int | None
    ) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._vocab_size = vocab_size

    @classmethod
    def load(cls, folder: Path) -> "PromptRenderer":
        """Reads tokenizer.json, the chat template and config.json of a model.

        Raises `ModelRefused` naming the file that cannot be used.
        """
        config = tokenizer_files.read_config(folder)
        template = None
        if config.template is not None:
            template = ChatTemplate(config.template, config.special_tokens)
        model = model_config.read(folder)
        tokenizer = tokenizer_files.read_tokenizer(folder, config, model.engine)
        return cls(tokenizer, template, model.vocab_size)

    @property
    def has_chat_template(self) -> bool:
        """Whether the model can be asked to chat."""
        return self._template is not None

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer itself, to decode a stream; leave its settings alone."""
        return self._tokenizer

    @property
    def vocab_size(self) -> int | None:
        """How many token ids the model knows; None if any (echo)."""
        return self._vocab_size

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The messages as the model's own template writes them, up to where
        the assistant's answer begins. Encode it with `special=False`.

        Raises `InvalidRequest` naming `input.messages` if the template does
        not accept them, or naming `task` if the model has no template.
        """
        if self._template is None:
            raise InvalidRequest(
                "this model has no chat template; use the task 'generate' with a prompt",
                param="task",
            )
        return self._template.render(messages)

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Token ids. `special` adds what the model expects around a plain
        prompt (BOS and the like).

        Raises `InvalidText` if the text is no Unicode, `InvalidRequest` if it
        holds a token for which the model has no embedding.
        """
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidText(
                f"the text holds a lone surrogate at character {error.start}; send valid Unicode",
                param="input",
            ) from error
        try:
            ids: list[int] = self._read(text, special).ids
        except BaseException as error:
            # The tokenizer is Rust; its panics are no Exception and would end
            # the thread. They concern this text alone.
            if type(error).__module__ != "pyo3_runtime":
                raise
            raise InvalidRequest(
                "the model's tokenizer cannot read this text; change or shorten it", param="input"
            ) from error
        if self._vocab_size is not None and max(ids, default=0) >= self._vocab_size:
            raise InvalidRequest(
                f"the text holds the token {self._tokenizer.id_to_token(max(ids))!r}, which this "
                "model cannot read; leave it out",
                param="input",
            )
        return ids

    def _read(self, text: str, special: bool) -> Encoding:
        if len(text) < _SHORT:
            return self._tokenizer.encode(text, add_special_tokens=special)
        # Alone in its batch: that way other threads run meanwhile (`encode` holds the
        # interpreter, a second for a long text), and places in the text are not told.
        return self._tokenizer.encode_batch_fast([text], add_special_tokens=special)[0]

    def check(self, ids: Sequence[int]) -> None:
        """Raises `InvalidRequest` naming `input` for token ids that the model does not have."""
        known = self._vocab_size or self._tokenizer.get_vocab_size()
        if max(ids, default=0) >= known or min(ids, default=0) < 0:
            raise InvalidRequest(
                f"the prompt has token ids outside of 0 to {known - 1:,}, which this model has",
                param="input",
            )

    def text(self, ids: Sequence[int]) -> str:
        """The text of a prompt's token ids, special tokens included; U+FFFD for NUL."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=False)
        return text.replace("\x00", "\ufffd")

    def tokens(self, item: str | Sequence[int]) -> list[int]:
        """Token ids of a text to be read, with what the model expects around it; a
        list of token ids is taken as it stands.

        Raises what `encode` and `check` raise.
        """
        if isinstance(item, str):
            return self.encode(item, special=True)
        self.check(item)
        return list(item)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        text: str = self._tokenizer.decode(list(ids), skip_special_tokens=True)
        return text


def renderer(version: ModelVersion, models_folder: Path) -> PromptRenderer:
    """The renderer of a version, loaded once per process.

    Raises `ModelCorrupt` if the version's files cannot be used.
    """
    # One at a time: a tokenizer takes up to a second and many megabytes, and
    # the first requests for a model arrive together.
    with _loading:
        return _load(version.name, version.version, version.sha256, models_folder)


@lru_cache(maxsize=_CACHED)
def _load(name: str, number: int, sha256: str, models_folder: Path) -> PromptRenderer:
    del sha256  # a part of the key: other files under this number are another renderer
    try:
        return PromptRenderer.load(version_folder(models_folder, name, number))
    except (ModelRefused, OSError) as error:
        raise ModelCorrupt(
            f"the files of {name}@{number} in the Model Store cannot be used: {error}; "
            "import the model again"
        ) from error
