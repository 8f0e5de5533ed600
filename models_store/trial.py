"""A new model's tokenizer and chat template, tried out in a process of their own.

Both are programs in a sense: a tokenizer's pattern can take for ever, its
tables can make the Rust library panic, a template can loop. What happens
there happens to this process, which has limits, and not to the importer.
"""

import json
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from jobs.errors import InvalidRequest, ModelRefused, UnsupportedModel
from models_store.prompt import PromptRenderer

_CHECKOUT = Path(__file__).resolve().parents[1]
_LIMIT_S = 30
_LIMIT_BYTES = 8 << 30
_HELLO = {"role": "user", "content": "Hello"}
_CHATS = (
    [{"role": "system", "content": ""}, _HELLO],
    [_HELLO, {"role": "assistant", "content": "Hello"}, _HELLO],
)
# Runs of one kind are what a careless pattern is slow on.
_TEXTS = (
    "",
    "\0 \t\r\n",
    "é日本語👩‍👩‍👧\u200b",
    "a" * 20_000,
    " " * 20_000,
    "\n" * 20_000,
    "1" * 20_000,
    "!" * 20_000,
    "it's 3.14, isn't it?\n\n  x = f(y)  \t# é\n" * 500,
)


def try_out(folder: Path) -> bool:
    """Whether a model can chat; that it can read a prompt is made sure of.

    Raises `ModelRefused` (or `UnsupportedModel`) if its tokenizer or template
    cannot be used, breaks, or takes longer than half a minute.
    """
    command = [sys.executable, "-m", "models_store.trial", str(folder.resolve())]
    try:
        trial = subprocess.run(
            command, cwd=_CHECKOUT, capture_output=True, timeout=2 * _LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _broken(f"take longer than {2 * _LIMIT_S} s") from error
    if trial.returncode != 0:
        raise _broken(f"break the program that reads them (status {trial.returncode})")
    answer = json.loads(trial.stdout)
    if "unsupported" in answer:
        raise UnsupportedModel(answer["unsupported"])
    if "refused" in answer:
        raise ModelRefused(answer["refused"])
    return bool(answer["chat"])


def _broken(what: str) -> ModelRefused:
    return ModelRefused(
        f"tokenizer.json or the chat template {what}; import the model's original files"
    )


def _try_here(folder: Path) -> bool:
    renderer = PromptRenderer.load(folder)
    try:
        renderer.decode(renderer.encode("Hello", special=True))
        if renderer.has_chat_template:
            renderer.encode(renderer.chat([_HELLO]), special=False)
    except InvalidRequest as error:
        raise ModelRefused(
            f"tokenizer.json or the chat template fails on the message 'Hello': {error}"
        ) from error
    for text in _TEXTS:
        # Without the renderer's care for one bad text: here a panic shall end
        # this process.
        renderer.tokenizer.decode(renderer.tokenizer.encode(text).ids)
    for chat in _CHATS if renderer.has_chat_template else ():
        # Many templates refuse a system message or such; they only must end.
        with suppress(InvalidRequest):
            renderer.chat(chat)
    return renderer.has_chat_template


def _main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (_LIMIT_S, _LIMIT_S))
    resource.setrlimit(resource.RLIMIT_AS, (_LIMIT_BYTES, _LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, object]
    try:
        answer = {"chat": _try_here(Path(sys.argv[1]))}
    except UnsupportedModel as error:
        answer = {"unsupported": error.message}
    except ModelRefused as error:
        answer = {"refused": error.message}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    _main()
