"""The real all-MiniLM-L6-v2: from its package into the Model Store, and its vectors."""

import struct
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from sqlalchemy import Engine
from transformers import AutoModel, AutoTokenizer

from jobs.errors import ModelCorrupt
from models_store.folders import version_folder
from models_store.importer import import_folder, verify
from models_store.prompt import PromptRenderer
from workers.engines.encoder import EncoderEngine
from workers.engines.protocol import Texts

TEXTS = [
    "A cat sits outside.",
    "A kitten is in the garden.",
    "The stock market fell sharply today, after three weeks in which nothing much happened.",
    "Grüße aus Köln! 😀 [SEP] 日本語",
    "",
    " ".join(["rain"] * 200),
]


@pytest.fixture(scope="module")
def vectors(minilm_folder: Path) -> torch.Tensor:
    """Of all texts, in batches of whatever the engine makes of them."""
    engine = EncoderEngine.load(minilm_folder, device="cpu", dtype="auto", slots=2, threads=0)
    renderer = PromptRenderer.load(minilm_folder)
    engine.add(Texts(uuid4(), [renderer.tokens(text) for text in TEXTS]))
    found: dict[int, tuple[float, ...]] = {}
    while engine.active:
        for chunk in engine.step():
            for vector in chunk.vectors:
                found[vector.number] = struct.unpack("<384f", vector.values)
    return torch.tensor([found[number] for number in range(len(TEXTS))])


def test_vectors_are_those_of_transformers_with_mean_pooling(
    minilm_folder: Path, vectors: torch.Tensor
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder, local_files_only=True)
    network = AutoModel.from_pretrained(minilm_folder, dtype=torch.float32, local_files_only=True)
    for text, vector in zip(TEXTS, vectors, strict=True):
        with torch.inference_mode():
            states = network(**tokenizer(text, return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(0)
        torch.testing.assert_close(vector, mean / mean.norm(), atol=1e-5, rtol=0)


def test_what_means_the_same_is_near(vectors: torch.Tensor) -> None:
    likeness = vectors @ vectors.T
    torch.testing.assert_close(likeness.diagonal(), torch.ones(len(TEXTS)))
    assert likeness[0, 1] > 0.5
    assert likeness[0, 2] < 0.2


def test_the_package_is_imported_as_it_is_and_watched_over(
    minilm_folder: Path, tmp_path: Path, engine: Engine
) -> None:
    models = tmp_path / "models"
    model = import_folder(minilm_folder, name="minilm", models_folder=models, engine=engine)
    assert (model.engine, model.tasks, model.context_length) == ("encoder", ("embed",), 256)
    verify(model, models)
    pooling = version_folder(models, "minilm", 1) / "1_Pooling" / "config.json"
    kept = pooling.read_bytes()
    pooling.write_bytes(kept.replace(b"true", b"tru1"))
    with pytest.raises(ModelCorrupt, match=r"1_Pooling/config\.json"):
        verify(model, models)
    pooling.write_bytes(kept)
    (pooling.parent / "more.json").write_text("{}")
    with pytest.raises(ModelCorrupt, match=r"1_Pooling/more\.json"):
        verify(model, models)
