"""Chat templates are programs of strangers: sandboxed, and bounded in what they write."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.errors import InvalidRequest
from models_store import chat_template
from models_store.prompt import PromptRenderer
from tests.unit.model_store_files import write_lm

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_lm(tmp_path / "m")


def with_template(folder: Path, source: str) -> PromptRenderer:
    (folder / "chat_template.jinja").write_text(source, encoding="utf-8")
    return PromptRenderer.load(folder)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append({}) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ (messages | first).__init__.__globals__ }}",
        "{{ raise_exception.__globals__.os }}",
        "{{ strftime_now.__code__.co_consts }}",
        "{{ dict.__base__.__subclasses__() }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ namespace(__class__=1) }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}{{ ns }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ ''.format.__self__ }}{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ lipsum() }}",
        "{{ range(10 ** 9) | list }}",
        "{{ 1 / 0 }}",
        "{{ messages[7].content }}",
        "{{ undefined.attribute }}",
        "{{ messages[0].content + 1 }}",
        "{{ raise_exception('no') }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    ],
)
def test_what_a_template_may_not_do_is_an_invalid_request(source: str, folder: Path) -> None:
    renderer = with_template(folder, source)
    with pytest.raises(InvalidRequest, match="chat template does not accept") as refused:
        renderer.chat(HELLO)
    assert refused.value.param == "input.messages"


def test_a_templates_own_words_reach_the_client(folder: Path) -> None:
    renderer = with_template(folder, "{{ raise_exception('roles must alternate') }}")
    with pytest.raises(InvalidRequest, match="roles must alternate"):
        renderer.chat(HELLO)


def test_a_template_that_never_stops_writing_is_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat_template, "_MAX_CHARACTERS", 10_000)
    loops = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}"
    with pytest.raises(InvalidRequest, match="more text than any model can read"):
        with_template(folder, loops).chat(HELLO)


def test_strftime_now_is_the_local_time(folder: Path) -> None:
    text = with_template(folder, "{{ strftime_now('%Y-%m-%dT%H:%M:%S%z') }}").chat(HELLO)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()) < 60
