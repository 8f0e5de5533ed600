"""config.json: known architectures, sane sizes, and nothing that loads code."""

from pathlib import Path
from typing import Any

import pytest

from jobs.errors import ModelRefused, UnsupportedModel
from models_store import model_config
from tests.unit.model_store_files import CONFIG, write_json


def read(tmp_path: Path, changes: dict[str, Any]) -> model_config.ModelConfig:
    config = {key: value for key, value in {**CONFIG, **changes}.items() if value is not ...}
    write_json(tmp_path / "config.json", config)
    return model_config.read(tmp_path)


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "qwen3", "gemma3_text"])
def test_supported_architectures_run_on_the_lm_engine(model_type: str, tmp_path: Path) -> None:
    config = read(tmp_path, {"model_type": model_type})
    assert (config.engine, config.context_length, config.vocab_size) == ("lm", 128, 300)


def test_echo_needs_no_vocabulary(tmp_path: Path) -> None:
    config = read(tmp_path, {"model_type": "echo", "architectures": ..., "vocab_size": ...})
    assert (config.engine, config.vocab_size) == ("echo", None)


def test_sizes_may_stand_in_a_nested_text_config(tmp_path: Path) -> None:
    inner = {"model_type": "llama", "max_position_embeddings": 77, "vocab_size": 5}
    changes = {"max_position_embeddings": ..., "vocab_size": ..., "text_config": inner}
    config = read(tmp_path, changes)
    assert (config.context_length, config.vocab_size) == (77, 5)


def nested(key: str, value: object, levels: int) -> dict[str, Any]:
    inner: object = {key: value}
    for level in range(levels):
        inner = {"part": inner} if level % 2 else [0, inner]
    return {"extra": inner}


@pytest.mark.parametrize("levels", [0, 1, 7, 50])
@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code", "attn_implementation"])
@pytest.mark.parametrize("value", [{"AutoModel": "evil--code.Model"}, True, False, None])
def test_what_loads_code_is_refused_at_any_depth(
    key: str, value: object, levels: int, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match=rf"config\.json has '{key}'.*remove it"):
        read(tmp_path, nested(key, value, levels))


@pytest.mark.parametrize("levels", [0, 1, 7, 50])
@pytest.mark.parametrize("model_type", ["mamba", "Llama", "", None, 3, ["llama"], {"a": 1}])
def test_an_unknown_model_type_is_refused_at_any_depth(
    model_type: object, levels: int, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedModel, match=r"supported are bert, .*gemma3_text, llama"):
        read(tmp_path, nested("model_type", model_type, levels))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": ...}, "no 'model_type'"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "writes no text"),
        ({"architectures": "LlamaForCausalLM"}, "is no list"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized"),
        ({"max_position_embeddings": ...}, "'max_position_embeddings' is None"),
        ({"max_position_embeddings": 0}, "'max_position_embeddings' is 0"),
        ({"max_position_embeddings": 10**9}, "'max_position_embeddings' is 1000000000"),
        ({"max_position_embeddings": True}, "'max_position_embeddings' is True"),
        ({"max_position_embeddings": 1.5}, "'max_position_embeddings' is 1.5"),
        ({"vocab_size": ...}, "'vocab_size' is None"),
        ({"hidden_size": 10**12}, "'hidden_size' is 1000000000000"),
        ({"text_config": {"num_hidden_layers": 10**6}}, "'num_hidden_layers' is 1000000"),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match=message):
        read(tmp_path, changes)


def test_a_missing_or_huge_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"config\.json is missing"):
        model_config.read(tmp_path)
    with pytest.raises(ModelRefused, match="larger than the 1,000,000 bytes"):
        read(tmp_path, {"long": "x" * 1_000_001})
    (tmp_path / "config.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ModelRefused, match="holds no JSON object"):
        model_config.read(tmp_path)
