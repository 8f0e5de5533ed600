"""The command `llm` against LMaaS, told of it in its own configuration."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.compat.programs.trying import FORM, KEY, URL, attempt, fits

MODELS = f"""\
- model_id: here
  model_name: smollm2
  api_base: "{URL}"
  api_key_name: lmaas
  supports_schema: true
- model_id: here-completes
  model_name: smollm2
  api_base: "{URL}"
  api_key_name: lmaas
  completion: true
"""
QUESTION = "What is the capital of France?"


def llm(*words: str) -> str:
    """What the command printed; raises its last line if it failed."""
    command = [str(Path(sys.executable).with_name("llm")), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["?"])[-1])
    return done.stdout


def asked(*words: str) -> str:
    return llm("-m", "here", "-o", "temperature", "0", "-o", "max_tokens", "24", *words)


def formed() -> bool:
    return fits(llm("-m", "here", "--schema", json.dumps(FORM), "--no-stream",
                    "-o", "max_tokens", "80", QUESTION))  # fmt: skip


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LLM_USER_PATH"] = folder
        (Path(folder) / "extra-openai-models.yaml").write_text(MODELS)
        (Path(folder) / "keys.json").write_text(json.dumps({"lmaas": KEY}))
        attempt("llm models", lambda: "here-completes" in llm("models"))
        attempt("a prompt, streamed", lambda: asked(QUESTION).strip())
        attempt("the same whole", lambda: asked(QUESTION) == asked(QUESTION, "--no-stream"))
        attempt("a system prompt", lambda: asked("-s", "You are brief.", QUESTION).strip())
        attempt(
            "a conversation goes on (-c)",
            lambda: llm("-c", "-o", "max_tokens", "24", "And?").strip(),
        )
        attempt("--schema", formed)
        attempt(
            "a completion model",
            lambda: llm("-m", "here-completes", "-o", "max_tokens", "12", "Once upon").strip(),
        )
