"""Files over the running front door: OpenAI's own client, ours, the command line, and none."""

import asyncio
import hashlib
import io
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from jobs.database import open_engine
from jobs.settings import Settings
from lmaas import Client, RequestRefused
from lmaas.cli import main
from lmaas.files import File
from tests.conditions import ROOT, eventually
from tests.integration.job_samples import rows
from tests.stack import Stack

LARGE = hashlib.shake_256(b"a fixed seed").digest(9_000_000)
DAY: Any = {"anchor": "created_at", "seconds": 86_400}


@pytest.fixture(scope="module")
def stack(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    started = Stack(
        tmp_path_factory.mktemp("files"), database_url=module_database_url, redis_url=redis_url
    )
    started.start("web", "housekeeper")
    eventually(lambda: answers(started), within_s=60)
    yield started
    started.close()


def answers(stack: Stack) -> bool:
    try:
        return stack.http.get("/health/live").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def client(stack: Stack) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def ours(stack: Stack) -> Iterator[Client]:
    with Client(str(stack.http.base_url), stack.key, patience_s=5) as made:
        yield made


def stored(stack: Stack) -> list[Path]:
    """What lies on the storage, half-written files too."""
    root = Path(stack.environment["LMAAS_STORE"]) / "files"
    return [path for path in root.rglob("*") if path.is_file()]


def test_a_file_goes_through_openais_client_and_back(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / 'über "alles".jsonl'
    path.write_bytes(LARGE)
    file = client.files.create(file=path, purpose="batch", expires_after=DAY)
    assert (file.bytes, file.filename, file.purpose) == (len(LARGE), path.name, "batch")
    assert file.expires_at == pytest.approx(file.created_at + 86_400, abs=1)
    assert file.status == "processed"
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == LARGE
    with client.files.with_streaming_response.content(file.id) as streamed:
        assert hashlib.sha256(b"".join(streamed.iter_bytes())).digest() == (
            hashlib.sha256(LARGE).digest()
        )
    gone = client.files.delete(file.id)
    assert (gone.id, gone.deleted) == (file.id, True)
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.retrieve(file.id)
    assert (caught.value.status_code, caught.value.code) == (410, "file_gone")


def test_the_asynchronous_client_sees_the_same(stack: Stack) -> None:
    async def walk() -> None:
        async with AsyncOpenAI(
            base_url=f"{stack.http.base_url}/v1", api_key=stack.key, max_retries=0
        ) as client:
            made = await asyncio.gather(
                *(client.files.create(file=(f"{n}.jsonl", b"x" * n), purpose="evals")
                  for n in range(1, 6))
            )  # fmt: skip
            listed = [file async for file in client.files.list(purpose="evals", limit=2)]
            assert sorted(file.bytes for file in listed) == [1, 2, 3, 4, 5]
            assert {file.id for file in listed} == {file.id for file in made}
            assert (await client.files.content(made[2].id)).read() == b"xxx"
            await asyncio.gather(*(client.files.delete(file.id) for file in made))

    asyncio.run(walk())


def test_a_file_comes_in_parts(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "parts.jsonl"
    path.write_bytes(LARGE)
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="text/jsonl", purpose="batch", part_size=4_000_000,
        md5=hashlib.md5(LARGE, usedforsecurity=False).hexdigest(),
    )  # fmt: skip
    assert done.status == "completed"
    assert done.file is not None
    assert client.files.content(done.file.id).read() == LARGE
    client.files.delete(done.file.id)
    given_up = client.uploads.create(
        bytes=5, filename="x", mime_type="text/plain", purpose="user_data"
    )
    part = client.uploads.parts.create(given_up.id, data=b"hello")
    assert part.upload_id == given_up.id
    assert client.uploads.cancel(given_up.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError) as caught:
        client.uploads.complete(given_up.id, part_ids=[part.id])
    assert caught.value.code == "upload_ended"


def test_what_is_refused_is_refused_as_the_client_expects(client: OpenAI) -> None:
    mischief: Any = "mischief"
    with pytest.raises(openai.BadRequestError) as refused:
        client.files.create(file=b"x", purpose=mischief)
    assert (refused.value.code, refused.value.param) == ("unsupported_value", "purpose")
    with pytest.raises(openai.NotFoundError) as missing:
        client.files.content("file-" + "0" * 32)
    assert missing.value.code == "file_not_found"


def test_an_upload_that_breaks_off_leaves_nothing(stack: Stack) -> None:
    before = sorted(stored(stack))
    head = (
        f"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.key}\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 5000000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        connection.sendall(head.encode() + b"x" * 1_000_000)
        eventually(lambda: len(stored(stack)) > len(before), what="bytes on their way")
    eventually(lambda: sorted(stored(stack)) == before, what="nothing is left over")
    assert stack.http.get("/health/live").is_success


def test_our_client_brings_and_fetches(ours: Client, tmp_path: Path) -> None:
    made = ours.files.put(io.BytesIO(LARGE), filename="large.bin", purpose="user_data")
    assert isinstance(made, File)
    assert ours.files.info(made.id) == made
    assert made in list(ours.files.ls(purpose="user_data"))
    target = tmp_path / "back.bin"
    assert ours.files.get(made.id, target) == len(LARGE)
    assert target.read_bytes() == LARGE
    ours.files.rm(made.id)
    with pytest.raises(RequestRefused) as caught:
        ours.files.get(made.id, target)
    assert caught.value.code == "file_gone"
    assert target.read_bytes() == LARGE
    assert [path.name for path in tmp_path.iterdir()] == ["back.bin"]


def test_files_on_the_command_line(
    stack: Stack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    monkeypatch.setenv("LMAAS_URL", str(stack.http.base_url))
    monkeypatch.setenv("LMAAS_API_KEY", stack.key)

    def lmaas(*words: str) -> tuple[int, bytes]:
        with pytest.raises(SystemExit) as ended:
            main(["files", *words])
        return int(ended.value.code or 0), capfdbinary.readouterr().out

    path = tmp_path / "a\x1b[2J.jsonl"
    path.write_bytes(b'{"\xff"}\n')
    code, out = lmaas("put", str(path), "--expires-after", "2d")
    assert code == 0
    id = out.decode().strip()
    listed = lmaas("ls", "--purpose", "batch")[1].decode()
    assert id in listed
    assert "a?[2J.jsonl" in listed
    assert lmaas("get", id) == (0, b'{"\xff"}\n')
    assert lmaas("get", id, "-o", str(tmp_path / "b"))[0] == 0
    assert (tmp_path / "b").read_bytes() == b'{"\xff"}\n'
    assert lmaas("rm", id) == (0, f"{id}\terased\n".encode())
    assert lmaas("get", id)[0] != 0
    assert lmaas("put", str(tmp_path / "missing"))[0] != 0


def test_the_housekeeper_takes_away_what_has_expired(stack: Stack, client: OpenAI) -> None:

    file = client.files.create(file=b"short", purpose="batch", expires_after=DAY)
    engine = open_engine(Settings.model_validate(stack.environment), application="tests")
    rows(engine, "UPDATE files SET expires_at = now() WHERE id = :id RETURNING 1",
         id=file.id.removeprefix("file-"))  # fmt: skip
    with pytest.raises(openai.APIStatusError):
        client.files.content(file.id)
    stack.stop("housekeeper")
    stack.start("housekeeper")
    eventually(lambda: stored(stack) == [], what="the expired file's bytes are gone")
    engine.dispose()


def test_a_storage_that_nobody_can_speak_to_stops_the_start_with_a_sentence(stack: Stack) -> None:
    for module in ("api", "dispatcher.housekeeper"):
        done = subprocess.run(
            [sys.executable, "-m", module], cwd=ROOT, capture_output=True, text=True, timeout=60,
            env=stack.environment | {"LMAAS_FILES": "s4://bucket"}, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "does not start: LMAAS_FILES is not usable" in done.stderr
        assert "Traceback" not in done.stderr
