"""lm-eval against LMaaS, with tasks of our own: it needs no hub for them."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.compat.programs.trying import KEY, URL, attempt

TASKS = Path(__file__).resolve().parents[1] / "lm_eval_tasks"
GENERATE = "model=smollm2,tokenizer_backend=None,num_concurrent=4"
SCORE = (
    f"model=smollm2,tokenizer={os.environ.get('LMAAS_TOKENIZER')},tokenizer_backend=huggingface,"
    "tokenized_requests=False,num_concurrent=4"
)


def score(model: str, arguments: str, task: str, *words: str) -> dict[str, float]:
    """The metrics of a task, as lm-eval counted them."""
    with tempfile.TemporaryDirectory() as folder:
        command = [str(Path(sys.executable).with_name("lm_eval")), "run", "--model", model,
                   "--model_args", arguments, "--tasks", task, "--include_path", str(TASKS),
                   "--output_path", folder, *words]  # fmt: skip
        environment = os.environ | {"OPENAI_API_KEY": KEY, "LMAAS_TASKS": str(TASKS)}
        done = subprocess.run(
            command, env=environment, cwd=TASKS, capture_output=True, text=True, timeout=240,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["?"])[-1])
        [result] = Path(folder).rglob("results_*.json")
        found = json.loads(result.read_text())["results"][task]
    return {name: value for name, value in found.items() if isinstance(value, float)}


def generated(model: str, path: str, *words: str) -> bool:
    found = score(model, f"{GENERATE},base_url={URL}/{path}", "lmaas_capitals", *words)
    print(f"   {model}: {found}", file=sys.stderr)
    return found["answered,none"] == 1 and found["right,none"] > 0


def scored() -> bool:
    found = score("local-completions", f"{SCORE},base_url={URL}/completions", "lmaas_plausible")
    print(f"   local-completions: {found}", file=sys.stderr)
    return found["acc,none"] >= 0.75


if __name__ == "__main__":
    attempt(
        "local-completions, generate_until", lambda: generated("local-completions", "completions")
    )
    attempt(
        "local-chat-completions, generate_until",
        lambda: generated("local-chat-completions", "chat/completions", "--apply_chat_template"),
    )
    attempt("local-completions, multiple_choice (loglikelihood)", scored)
