"""A tokenizer or template that panics, loops or bloats is refused, and only that."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import InvalidRequest, ModelRefused, UnsupportedModel
from models_store import trial
from models_store.prompt import PromptRenderer
from tests.unit.model_store_files import write_json, write_lm

Tokenizer = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_lm(tmp_path / "m")


def change(folder: Path, changes: Callable[[Tokenizer], None]) -> None:
    path = folder / "tokenizer.json"
    tokenizer: Tokenizer = json.loads(path.read_text(encoding="utf-8"))
    changes(tokenizer)
    write_json(path, tokenizer)


def test_a_sound_model_tells_whether_it_chats(folder: Path) -> None:
    assert trial.try_out(folder)
    (folder / "chat_template.jinja").unlink()
    assert not trial.try_out(folder)


def unknown_special_token(tokenizer: Tokenizer) -> None:
    tokenizer["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "nowhere", "type_id": 0}}],
        "pair": [],
        "special_tokens": {},
    }


def merge_shorter_than_its_prefix(tokenizer: Tokenizer) -> None:
    tokenizer["model"]["continuing_subword_prefix"] = "####"
    tokenizer["model"]["vocab"]["ab"] = 257
    tokenizer["model"]["merges"] = [["a", "b"]]


def endless_pattern(tokenizer: Tokenizer) -> None:
    pattern = {"Regex": "((a+)+)+((a+)+)+(?<!a)b"}
    split = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    tokenizer["pre_tokenizer"] = split


@pytest.mark.parametrize(
    "changes", [unknown_special_token, merge_shorter_than_its_prefix, endless_pattern]
)
def test_a_tokenizer_that_breaks_its_library_is_refused(
    changes: Callable[[Tokenizer], None], folder: Path
) -> None:
    change(folder, changes)
    with pytest.raises(ModelRefused, match=r"break the program|cannot read this text"):
        trial.try_out(folder)


def test_a_panic_at_run_time_is_one_bad_request(folder: Path) -> None:
    change(folder, endless_pattern)
    renderer = PromptRenderer.load(folder)
    with pytest.raises(InvalidRequest, match="cannot read this text"):
        renderer.encode("a" * 20_000, special=True)
    assert renderer.decode(renderer.encode("xyz", special=True)) == "xyz"


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{{ 'x' * 10 ** 11 }}",
    ],
    ids=["loops", "bloats"],
)
def test_a_template_that_loops_or_bloats_is_refused(
    template: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "_LIMIT_S", 2)
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"break the program|take longer than 4 s"):
        trial.try_out(folder)


def test_refusals_keep_their_words_and_kind(folder: Path) -> None:
    write_json(folder / "tokenizer.json", {})
    with pytest.raises(ModelRefused, match=r"tokenizer\.json holds no tokenizer"):
        trial.try_out(folder)
    write_json(folder / "config.json", {"model_type": "mamba"})
    write_lm(folder, config={"model_type": "mamba"})
    with pytest.raises(UnsupportedModel, match="'mamba' has no engine here"):
        trial.try_out(folder)
    write_lm(folder)
    (folder / "chat_template.jinja").write_text("{{ raise_exception('no') }}", encoding="utf-8")
    with pytest.raises(ModelRefused, match=r"fails on the message 'Hello': .* no"):
        trial.try_out(folder)


def test_a_template_may_refuse_other_chats(folder: Path) -> None:
    source = "{{ raise_exception('one message, please') if messages | length > 1 }}ok"
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    assert trial.try_out(folder)
