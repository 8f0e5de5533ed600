"""The real model for engine tests: SmolLM2 from its package, converted once."""

from pathlib import Path

import pytest

from workers.convert import convert, smollm2_file


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct as safetensors, kept between test runs."""
    folder = Path(".lmaas") / "tests" / "smollm2"
    folder.parent.mkdir(parents=True, exist_ok=True)
    convert(smollm2_file(), folder)
    return folder
