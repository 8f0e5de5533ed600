"""The echo engine's model: real files, so that it takes the road of any model.

Its tokenizer is a byte-level BPE without merges: one token per byte, any text
comes back exactly as it went in, and nothing had to be trained.
"""

import json
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel

CONTEXT_LENGTH = 8_192
_END = "<|end|>"
_TEMPLATE = """\
{% for message in messages %}
{{ message['role'] }}: {{ message['content'] }}<|end|>
{% endfor %}
{% if add_generation_prompt %}
assistant: {% endif %}"""


def write_folder(folder: Path) -> None:
    """Writes the echo model's files into an existing folder, always the same bytes."""
    _tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(_TEMPLATE, encoding="utf-8")
    _write_json(
        folder / "config.json",
        {"model_type": "echo", "max_position_embeddings": CONTEXT_LENGTH},
    )
    _write_json(folder / "tokenizer_config.json", {"eos_token": _END})


def _tokenizer() -> Tokenizer:
    alphabet = sorted(ByteLevel.alphabet())
    tokenizer = Tokenizer(
        BPE(vocab={token: index for index, token in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = ByteLevelDecoder()
    tokenizer.add_special_tokens([AddedToken(_END, special=True, normalized=False)])
    return tokenizer


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")
