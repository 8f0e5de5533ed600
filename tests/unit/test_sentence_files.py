"""What sentence-transformers' files say is obeyed or refused, and never imported."""

from pathlib import Path

import pytest

from jobs.errors import ModelRefused, UnsupportedModel
from models_store import model_config, sentence_files
from models_store.checks import check_content, list_files
from models_store.sentence_files import SentenceConfig
from tests.unit.model_store_files import write_encoder, write_json

PACKAGE = "sentence_transformers.models"


def module(kind: str, path: str = "", package: str = PACKAGE) -> dict[str, object]:
    return {"idx": 0, "name": "0", "path": path, "type": f"{package}.{kind}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder")


def test_a_model_without_these_files_has_the_mean_and_its_own_length(tmp_path: Path) -> None:
    assert sentence_files.read(tmp_path) == SentenceConfig("mean", False, None)


def test_the_whole_of_a_model_is_read(folder: Path) -> None:
    assert sentence_files.read(folder) == SentenceConfig("cls", True, 20)
    config = check_content(folder, list_files(folder))
    assert (config.engine, config.context_length) == ("encoder", 20)
    assert config.tasks(chats=False) == ("embed",)


def test_positions_of_padding_are_no_room_for_text(folder: Path) -> None:
    (folder / sentence_files.LENGTHS).unlink()
    assert model_config.read(folder).context_length == 32
    config = {"model_type": "roberta", "vocab_size": 300, "hidden_size": 4,
              "max_position_embeddings": 34}  # fmt: skip
    write_json(folder / "config.json", config)
    assert model_config.read(folder).context_length == 32


@pytest.mark.parametrize(
    "pooling",
    [{"pooling_mode": "max"}, {"pooling_mode": ["max"]}, {"pooling_mode_max_tokens": True}],
)
def test_a_pooling_is_named_in_the_old_way_or_in_the_new(
    folder: Path, pooling: dict[str, object]
) -> None:
    write_json(folder / "1_Pooling" / "config.json", {"include_prompt": True, **pooling})
    assert sentence_files.read(folder).pooling == "max"


@pytest.mark.parametrize(
    ("file", "value", "said"),
    [
        ("modules.json", [module("Dense", "2_Dense")], "Dense"),
        ("modules.json", [module("Pooling", "1_Pooling", "os.path")], "os.path"),
        ("modules.json", [module("Pooling", "1_Pooling")] * 2, "Pooling"),
        ("modules.json", [module("Pooling", "../../1_Pooling")], "folder"),
        ("modules.json", [module("Pooling", "2_Pooling")], "2_Pooling/config.json"),
        ("modules.json", {"a": 1}, "list"),
        ("modules.json", [1], "list"),
        ("1_Pooling/config.json", {"pooling_mode_lasttoken": True}, "lasttoken"),
        ("1_Pooling/config.json", {"pooling_mode": "lasttoken"}, "lasttoken"),
        ("1_Pooling/config.json", {"pooling_mode": ["cls", "mean"]}, "cls"),
        ("1_Pooling/config.json",
         {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls"),
        ("1_Pooling/config.json",
         {"pooling_mode_mean_tokens": True, "pooling_mode_weightedmean_tokens": True}, "mean"),
        ("1_Pooling/config.json", {"pooling_mode": "cls", "include_prompt": False}, "prompts"),
        ("1_Pooling/config.json", {"pooling_mode": "cls", "trust_remote_code": True}, "code"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "lowered"),
        ("sentence_bert_config.json", {"max_seq_length": True}, "max_seq_length"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "max_seq_length"),
        ("config_sentence_transformers.json", {"default_prompt_name": "query"}, "prompt"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "embeds"),
    ],
)  # fmt: skip
def test_what_would_be_read_otherwise_elsewhere_is_refused(
    folder: Path, file: str, value: object, said: str
) -> None:
    write_json(folder / file, value)
    with pytest.raises(ModelRefused, match=said):
        check_content(folder, list_files(folder))


@pytest.mark.parametrize(
    "config",
    [
        {"architectures": ["BertForSequenceClassification"]},
        {"is_decoder": True},
        {"position_embedding_type": "relative_key"},
        {"hidden_size": 5_000},
    ],
)
def test_an_encoder_that_does_something_else_is_refused(
    tmp_path: Path, config: dict[str, object]
) -> None:
    folder = write_encoder(tmp_path / "encoder", config=config)
    with pytest.raises(UnsupportedModel):
        check_content(folder, list_files(folder))


@pytest.mark.parametrize(
    "name", ["1_Pooling/model.safetensors", "1_Pooling/pytorch_model.bin", "2_Dense/config.json"]
)
def test_folders_hold_a_pooling_and_nothing_else(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    write_json(folder / name, {})
    with pytest.raises(ModelRefused):
        list_files(folder)


def test_a_link_for_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "1_Pooling").rename(tmp_path / "elsewhere")
    (folder / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelRefused):
        list_files(folder)


def test_an_empty_folder_of_a_normalisation_is_no_fault(folder: Path) -> None:
    (folder / "2_Normalize").mkdir()
    assert "1_Pooling/config.json" in list_files(folder)
