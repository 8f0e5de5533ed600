"""Response formats as grammars over a model's tokens, by llguidance.

The one compiler of the router, which refuses what cannot be obeyed, and of the
workers, whose engines ask which tokens may come next. JSON comes on one line
with a space after each comma and colon, so that it ends.
"""

import json
from collections import OrderedDict
from functools import lru_cache
from threading import Lock
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper
from tokenizers import Tokenizer

from jobs.errors import InvalidRequest
from jobs.response_format import JsonSchemaFormat, ResponseFormat
from models_store.prompt import PromptRenderer
from models_store.token_bytes import TokenBytes

_CACHED = 64
# A step of one sequence stays within some milliseconds, a compilation within
# some hundred; the library's own bounds on states and sizes hold too.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_lexer_states=50_000,
    max_grammar_size=500_000,
    verbose_errors=False,
)


def check(form: ResponseFormat) -> None:
    """Raises `InvalidRequest` naming the field if a form cannot be obeyed."""
    if form.type == "text":
        return
    problem = _problem(_grammar(form))
    if problem:
        raise InvalidRequest(
            f"this schema cannot be obeyed: {problem}", param="parameters.response_format"
        )


@lru_cache(maxsize=_CACHED)
def _problem(grammar: str) -> str:
    text: str = LLMatcher.validate_grammar(grammar, limits=_LIMITS)
    return text[:300]


def _grammar(form: ResponseFormat) -> str:
    schema: dict[str, Any] = {"type": "object"}
    if isinstance(form, JsonSchemaFormat):
        # That key would change the compiler's options.
        own = form.json_schema.definition
        schema = {key: value for key, value in own.items() if key != "x-guidance"}
    return LLMatcher.grammar_from_json_schema(
        json.dumps(schema),
        overrides={
            "whitespace_flexible": False,
            "item_separator": ", ",
            "key_separator": ": ",
            # An unknown keyword is an error, never ignored.
            "lenient": False,
            "coerce_one_of": False,
        },
    )


class Constraint:
    """Where one completion stands in its grammar (`protocol.Constraint`)."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def allowed(self) -> bytes:
        """For each token id a byte, 0 if that token may not come next."""
        # The last one is the end that `_Tokens` adds.
        return self._matcher.compute_logit_bias()[:-1]

    def accept(self, token: int) -> None:
        """Moves on by a token."""
        self._matcher.consume_token(token)

    @property
    def may_end(self) -> bool:
        """Whether the completion has the form already."""
        return self._matcher.is_accepting()

    @property
    def complete(self) -> bool:
        """Whether nothing can follow."""
        return self._matcher.is_stopped() and not self._matcher.is_error()

    @property
    def failure(self) -> str | None:
        """Why the form can be followed no further, if so."""
        return str(self._matcher.stop_reason()) if self._matcher.is_error() else None


class Grammar:
    """A compiled form; completions follow copies of it (`protocol.Grammar`)."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def begin(self) -> Constraint:
        """The beginning of a completion."""
        return Constraint(self._matcher.deep_copy())


class Grammars:
    """Forms compiled for one model, the last ones kept; safe in several threads."""

    def __init__(self, renderer: PromptRenderer) -> None:
        self._renderer = renderer
        self._tokens: LLTokenizer | None = None
        self._known: OrderedDict[str, Grammar] = OrderedDict()
        self._lock = Lock()

    def compiled(self, form: ResponseFormat | None) -> Grammar | None:
        """The grammar of a form; None if any text will do. Raises `InvalidRequest`."""
        if form is None or form.type == "text":
            return None
        check(form)
        text = _grammar(form)
        with self._lock:
            if self._tokens is None:
                self._tokens = LLTokenizer(_Tokens(self._renderer.tokenizer))
            if text not in self._known:
                self._known[text] = self._compile(self._tokens, text)
            self._known.move_to_end(text)
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
            return self._known[text]

    @staticmethod
    def _compile(tokens: LLTokenizer, text: str) -> Grammar:
        matcher = LLMatcher(tokens, text, log_level=0, limits=_LIMITS)
        if matcher.is_error():
            raise InvalidRequest(
                f"this schema cannot be obeyed: {matcher.get_error()[:300]}",
                param="parameters.response_format",
            )
        return Grammar(matcher)


class _Tokens(TokenizerWrapper):
    """What llguidance must know of a tokenizer. The end has an id of its own
    beyond the vocabulary: which ids end a text, the engine knows."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        exact = TokenBytes(tokenizer)
        size = tokenizer.get_vocab_size(with_added_tokens=True)
        size = max([size, *(id + 1 for id in tokenizer.get_vocab().values())])
        added = tokenizer.get_added_tokens_decoder()
        self.tokens = [*(exact.of(id) for id in range(size)), b"<end>"]
        self.eos_token_id = size
        self.bos_token_id = None
        self.special_token_ids = [*(id for id, token in added.items() if token.special), size]
        # Special tokens that a schema spells out are text.
        self._plain = Tokenizer.from_str(tokenizer.to_str())
        self._plain.no_truncation()
        self._plain.no_padding()
        self._plain.encode_special_tokens = True
        self.is_tokenizer_wrapper = True

    def __call__(self, text: bytes | str) -> list[int]:
        """The token ids of a text, as the model writes it."""
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        return ids
