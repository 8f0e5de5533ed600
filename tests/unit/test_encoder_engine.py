"""The encoder engine: vectors are transformers' own, whatever else is in the batch."""

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import UUID, uuid4

import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from jobs.errors import EngineFailed, InvalidRequest, PromptTooLong
from models_store.sentence_files import Pooling, SentenceConfig
from workers.engines.encoder.engine import EncoderEngine
from workers.engines.encoder.loading import LoadedEncoder
from workers.engines.protocol import Request, Sampling, Texts

CONTEXT, VOCABULARY = 60, 90
SIZES = {"vocab_size": VOCABULARY, "max_position_embeddings": CONTEXT + 2, "pad_token_id": 1}
NAMES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
         "num_attention_heads": 4, "initializer_range": 0.3}  # fmt: skip
FAMILIES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "bert": (BertModel, BertConfig, NAMES),
    "roberta": (RobertaModel, RobertaConfig, NAMES),
    "xlm-roberta": (XLMRobertaModel, XLMRobertaConfig, NAMES),
    "mpnet": (MPNetModel, MPNetConfig, NAMES),
    "distilbert": (DistilBertModel, DistilBertConfig,
                   {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 4}),
}  # fmt: skip


@cache
def network(family: str, attention: str | None = None) -> Any:
    """With the attention that loading chooses, or a given one."""
    kind, config, names = FAMILIES[family]
    torch.manual_seed(11)
    given = {} if attention is None else {"attn_implementation": attention}
    return kind(config(**SIZES, **names, **given)).eval()


def engine(
    family: str = "bert",
    *,
    pooling: Pooling = "mean",
    normalize: bool = False,
    slots: int = 8,
    tokens_per_step: int = 120,
) -> EncoderEngine:
    sentence = SentenceConfig(pooling, normalize)
    loaded = LoadedEncoder(network(family), sentence, CONTEXT, VOCABULARY)
    return EncoderEngine(loaded, slots=slots, tokens_per_step=tokens_per_step)


def texts(lengths: Sequence[int], seed: int = 1) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(2, VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


def reference(family: str, text: list[int], pooling: Pooling, *, unit: bool) -> torch.Tensor:
    """One text alone, without any padding."""
    with torch.inference_mode():
        states = network(family, "eager")(input_ids=torch.tensor([text])).last_hidden_state[0]
    vector: torch.Tensor = {
        "mean": states.mean(0),
        "cls": states[0],
        "max": states.amax(0),
        "mean_sqrt_len_tokens": states.sum(0) / len(text) ** 0.5,
    }[pooling]
    return vector / vector.norm() if unit else vector


def add(engine: EncoderEngine, some: list[list[int]], id: UUID | None = None, **more: Any) -> UUID:
    request = Texts(id or uuid4(), some, **more)
    engine.add(request)
    return request.id


def finish(engine: EncoderEngine) -> dict[UUID, dict[int, torch.Tensor]]:
    found: dict[UUID, dict[int, torch.Tensor]] = {}
    while engine.active:
        for chunk in engine.step():
            assert chunk.error is None
            for vector in chunk.vectors:
                numbers = struct.unpack(f"<{len(vector.values) // 4}f", vector.values)
                place = found.setdefault(chunk.id, {})
                assert vector.number not in place
                place[vector.number] = torch.tensor(numbers)
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_each_architecture_gives_what_transformers_gives(family: str) -> None:
    made = engine(family)
    some = texts([1, 5, 6, 7, 8, 30, 31, CONTEXT, 4])
    id = add(made, some)
    found = finish(made)[id]
    assert sorted(found) == list(range(len(some)))
    for number, text in enumerate(some):
        wanted = reference(family, text, "mean", unit=False)
        torch.testing.assert_close(found[number], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "mean_sqrt_len_tokens"])
@pytest.mark.parametrize("normalize", [True, False])
def test_poolings_and_unit_length(pooling: Pooling, normalize: bool) -> None:
    made = engine(pooling=pooling, normalize=not normalize)
    some = texts([9, 10, 12])
    own, other = add(made, some), add(made, some, normalize=normalize)
    found = finish(made)
    for number, text in enumerate(some):
        for id, unit in ((own, not normalize), (other, normalize)):
            wanted = reference("bert", text, pooling, unit=unit)
            torch.testing.assert_close(found[id][number], wanted, atol=1e-5, rtol=0)


def test_the_neighbours_of_a_text_change_nothing() -> None:
    text = texts([20], seed=5)
    alone = engine()
    id = add(alone, text)
    wanted = finish(alone)[id][0]
    for seed in range(4):
        made = engine(tokens_per_step=400)
        add(made, texts(list(range(16, 27)), seed=seed))
        id = add(made, text)
        add(made, texts([20, 19, 26], seed=seed + 50))
        torch.testing.assert_close(finish(made)[id][0], wanted, atol=1e-4, rtol=0)


def test_a_step_reads_few_tokens_and_little_padding() -> None:
    made = engine(tokens_per_step=100)
    add(made, texts([3, 50, 4, 49, 3, 48, 30, 12, 11, 4, 3]))
    shapes: list[tuple[int, int]] = []
    run = made._model.network.forward

    def watched(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        shapes.append(tuple(input_ids.shape))  # type: ignore[arg-type]
        assert attention_mask.sum() >= 0.75 * input_ids.numel()
        return run(input_ids=input_ids, attention_mask=attention_mask)

    made._model.network.forward = watched
    try:
        finish(made)
    finally:
        made._model.network.forward = run
    assert max(rows * length for rows, length in shapes) <= 100
    assert len(shapes) < 8


def test_a_short_request_does_not_wait_for_a_long_one() -> None:
    made = engine(tokens_per_step=60)
    long = add(made, texts([40] * 30))
    short = add(made, texts([5, 6]))
    ended = []
    for _ in range(4):
        ended += [chunk.id for chunk in made.step() if chunk.finish_reason == "stop"]
    assert ended == [short]
    assert set(finish(made)) == {long}


def test_what_is_removed_is_read_no_further_and_the_others_are() -> None:
    made = engine(tokens_per_step=60)
    gone, kept = add(made, texts([40] * 9)), add(made, texts([40] * 3, seed=3))
    made.step()
    assert made.remove(gone) is not None
    assert made.remove(gone) is None
    assert made.active == 1
    steps = 0
    while made.active:
        assert {chunk.id for chunk in made.step()} == {kept}
        steps += 1
    assert steps <= 3
    assert made.step() == []


def test_what_cannot_be_read_is_refused_and_changes_nothing() -> None:
    made = engine(slots=1)
    with pytest.raises(PromptTooLong):
        add(made, texts([CONTEXT + 1]))
    unreadable: list[list[list[int]]] = [[], [[]], [[2], [VOCABULARY]], [[-1]]]
    for bad in unreadable:
        with pytest.raises(InvalidRequest):
            add(made, bad)
    with pytest.raises(InvalidRequest):
        made.add(Request(uuid4(), [1], Sampling(max_tokens=1)))
    assert made.active == 0
    add(made, texts([3]))
    with pytest.raises(EngineFailed):
        add(made, texts([3]))


def test_numbers_that_are_not_finite_fail_their_own_request_alone() -> None:
    made = engine()
    broken, sound = add(made, [[7, 8, 9]]), add(made, [[4, 5, 6]])
    embeddings: Any = made._model.network.get_input_embeddings()
    kept = embeddings.weight[7].clone()
    with torch.no_grad():
        embeddings.weight[7] = float("nan")
    try:
        chunks = {chunk.id: chunk for chunk in made.step()}
    finally:
        with torch.no_grad():
            embeddings.weight[7] = kept
    assert isinstance(chunks[broken].error, EngineFailed)
    assert chunks[sound].finish_reason == "stop"
    assert made.active == 0
