"""Encoding and decoding: any text, any thread, and only sound files."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel

from jobs.errors import InvalidRequest, InvalidText, ModelCorrupt, ModelRefused, UnsupportedModel
from models_store import echo, prompt
from models_store.catalog import ModelVersion
from models_store.folders import version_folder
from models_store.prompt import PromptRenderer
from tests.unit.model_store_files import write_json, write_lm

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_lm(tmp_path / "m")


@pytest.mark.parametrize(
    "text",
    ["", "Hello", " \r\n\t\0 ", "é日本👩‍👩‍👧\u200b", "a" * 10_000, "{{ x }} </s> <|im_end|>"],
)
def test_echos_tokenizer_gives_any_text_back(text: str, tmp_path: Path) -> None:
    echo.write_folder(tmp_path)
    renderer = PromptRenderer.load(tmp_path)
    ids = renderer.encode(text, special=True)
    assert len(ids) == len(text.encode())
    assert renderer.decode(ids) == text


def test_echos_template_ends_where_the_answer_begins(tmp_path: Path) -> None:
    echo.write_folder(tmp_path)
    renderer = PromptRenderer.load(tmp_path)
    text = renderer.chat([{"role": "system", "content": "Be brief."}, *HELLO])
    assert text == "system: Be brief.<|end|>\nuser: Hello<|end|>\nassistant: "
    assert renderer.decode(renderer.encode(text, special=False)) == text.replace("<|end|>", "")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("tokenizer_config.json", {"chat_template": 7}, "neither a text nor a list"),
        ("tokenizer_config.json", {"chat_template": [{"name": "rag"}]}, "called 'default'"),
        ("tokenizer_config.json", {"chat_template": "{% if %}"}, "does not compile"),
        ("tokenizer_config.json", {"chat_template": "{{ x"}, "does not compile"),
        ("tokenizer_config.json", {"chat_template": "{{" + "(" * 9_000 + "}}"}, "not compile"),
        ("tokenizer_config.json", [], "holds no JSON object"),
        ("tokenizer.json", {}, "holds no tokenizer"),
        ("tokenizer.json", {"model": {"type": "BPE", "vocab": {"a": -1}}}, "holds no tokenizer"),
    ],
)
def test_files_that_make_no_renderer_are_refused(
    name: str, value: object, message: str, folder: Path
) -> None:
    (folder / "chat_template.jinja").unlink()
    write_json(folder / name, value)
    with pytest.raises(ModelRefused, match=message):
        PromptRenderer.load(folder)


@pytest.mark.parametrize(
    ("tokenizer", "message"),
    [
        (Tokenizer(WordLevel({"a": 0}, unk_token="?")), "holds a WordLevel tokenizer"),
        (Tokenizer(BPE({"a": 0}, [], dropout=0.1)), "'dropout'"),
        (Tokenizer(BPE({"a": 0}, [], unk_token="?")), "unknown token '\\?'"),
    ],
)
def test_tokenizers_that_fail_or_vary_are_refused(
    tokenizer: Tokenizer, message: str, folder: Path
) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(ModelRefused, match=message) as refused:
        PromptRenderer.load(folder)
    assert isinstance(refused.value, UnsupportedModel) == ("WordLevel" in message)


def test_a_model_without_a_template_does_not_chat(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    renderer = PromptRenderer.load(folder)
    assert not renderer.has_chat_template
    with pytest.raises(InvalidRequest, match="use the task 'generate'") as refused:
        renderer.chat(HELLO)
    assert refused.value.param == "task"


def test_a_token_without_an_embedding_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_lm(tmp_path / "m", config={"vocab_size": 256})
    renderer = PromptRenderer.load(folder)
    assert len(renderer.encode("any text ÿ", special=True)) == 11
    with pytest.raises(InvalidRequest, match=r"the token '<\|end\|>'"):
        renderer.encode("x<|end|>", special=True)


def test_a_lone_surrogate_is_invalid_text(folder: Path) -> None:
    with pytest.raises(InvalidText, match="lone surrogate at character 2"):
        PromptRenderer.load(folder).encode("ab\ud800c", special=True)


def test_one_renderer_serves_many_threads(folder: Path) -> None:
    renderer = PromptRenderer.load(folder)

    def render(number: int) -> tuple[str, list[int]]:
        messages: list[Mapping[str, str]] = [{"role": "user", "content": f"question {number}" * 9}]
        text = renderer.chat(messages)
        return text, renderer.encode(text, special=False)

    numbers = [number % 7 for number in range(400)]
    with ThreadPoolExecutor(16) as threads:
        assert list(threads.map(render, numbers)) == [render(number) for number in numbers]


def version(folder: Path, sha256: str) -> ModelVersion:
    return ModelVersion("m", 1, "lm", ("generate",), 128, sha256, 1, datetime.now(UTC))


def test_a_version_is_loaded_once_and_again_when_its_content_is_another(tmp_path: Path) -> None:
    write_lm(version_folder(tmp_path, "m", 1))
    first = prompt.renderer(version(tmp_path, "a"), tmp_path)
    with ThreadPoolExecutor(8) as threads:
        again = threads.map(lambda _: prompt.renderer(version(tmp_path, "a"), tmp_path), range(8))
        assert {id(renderer) for renderer in again} == {id(first)}
    assert prompt.renderer(version(tmp_path, "b"), tmp_path) is not first


def test_missing_or_broken_files_of_a_version_are_corrupt(tmp_path: Path) -> None:
    with pytest.raises(ModelCorrupt, match="m@1 in the Model Store cannot be used"):
        prompt.renderer(version(tmp_path, "a"), tmp_path)
    folder = write_lm(version_folder(tmp_path, "m", 1))
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json holds no tokenizer"):
        prompt.renderer(version(tmp_path, "a"), tmp_path)
