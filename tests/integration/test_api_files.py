"""/v1/files through the front door: what comes in comes out, and nothing else gets in."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from api.openai.file_answers import FileDeleted, FileList, FileObject
from files_store import loose, uploads
from jobs.ids import new_id
from tests.integration.front_door import FrontDoor, front_door, read, refusal
from tests.integration.job_samples import rows, value

BOUNDARY = "------------------------d74496d66958873e"


@pytest.fixture(scope="module")
def door(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontDoor]:
    with front_door(
        tmp_path_factory.mktemp("files"), database_url=module_database_url, redis_url=redis_url
    ) as opened:
        object.__setattr__(
            opened.services,
            "settings",
            opened.services.settings.model_copy(update={"max_file_bytes": 1_000_000}),
        )
        yield opened


def bring(door: FrontDoor, data: bytes = b"{}\n", name: str = "a.jsonl", **more: Any) -> Any:
    key = more.pop("key", None)
    fields = {"purpose": "batch"} | more
    form = b"".join(part(field, value.encode()) for field, value in fields.items())
    return bring_raw(door, form + part("file", data, name) + END, key=key)


def bring_raw(door: FrontDoor, body: bytes, kind: str | None = None, **more: Any) -> TestResponse:
    kind = kind or f"multipart/form-data; boundary={BOUNDARY}"
    return door.send("POST", "/v1/files", input_stream=io.BytesIO(body), content_type=kind,
                     content_length=len(body), **more)  # fmt: skip


def part(name: str, data: bytes, filename: str | None = None) -> bytes:
    said = f'; filename="{filename}"' if filename is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{said}\r\n\r\n'
    return head.encode() + data + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
PURPOSE = part("purpose", b"batch")
FILE = part("file", b"{}\n", "a.jsonl")


def made(door: FrontDoor, *given: Any, **more: Any) -> FileObject:
    response = bring(door, *given, **more)
    assert response.status_code == 200, response.text
    return read(response, FileObject)


def content(door: FrontDoor, id: str, **more: Any) -> tuple[bytes, dict[str, str]]:
    with door.get(f"/v1/files/{id}/content", **more) as response:
        assert response.status_code == 200
        return response.data, dict(response.headers)


def on_the_storage(door: FrontDoor) -> set[str]:
    """The names of all files under the root, half-written ones too."""
    root = Path(door.services.settings.files_url)
    return {path.name for path in root.rglob("*") if path.is_file()}


def known_contents(door: FrontDoor) -> set[str]:
    found = rows(door.engine, "SELECT content_id FROM files WHERE erased_at IS NULL"
                              " UNION ALL SELECT id FROM upload_parts")  # fmt: skip
    return {row.content_id.hex for row in found}


def check_nothing_is_left_over(door: FrontDoor) -> None:
    assert value(door.engine, "SELECT count(*) FROM loose_contents") == 0
    assert on_the_storage(door) == known_contents(door)


def test_a_file_comes_is_read_listed_and_goes(door: FrontDoor) -> None:
    file = made(door, b"12345", "x.jsonl")
    assert (file.bytes, file.filename, file.purpose, file.expires_at) == (
        5,
        "x.jsonl",
        "batch",
        None,
    )
    assert read(door.get(f"/v1/files/{file.id}"), FileObject) == file
    data, headers = content(door, file.id)
    assert (data, headers["Content-Length"]) == (b"12345", "5")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert file in read(door.get("/v1/files"), FileList).data
    assert read(door.send("DELETE", f"/v1/files/{file.id}"), FileDeleted).id == file.id
    for path in (f"/v1/files/{file.id}", f"/v1/files/{file.id}/content"):
        assert refusal(door.get(path))[:2] == (410, "file_gone")
    assert refusal(door.send("DELETE", f"/v1/files/{file.id}"))[:2] == (410, "file_gone")
    assert file not in read(door.get("/v1/files"), FileList).data
    check_nothing_is_left_over(door)


def test_bytes_are_not_touched(door: FrontDoor) -> None:
    tricky = b"\r\n--" + BOUNDARY.encode()[:-1] + b"\x00\xff\r\n\r\n" + bytes(range(256)) * 999
    assert content(door, made(door, tricky).id)[0] == tricky
    assert content(door, made(door, b"").id)[0] == b""


@pytest.mark.parametrize(
    "name",
    [
        "we %22quote%22.jsonl",
        "über 日本.jsonl",
        "../../etc/passwd",
        "a;b=c.txt",
        "x" * 512,
        "%0d%0aX: y",
    ],
)
def test_a_name_is_a_text_and_nothing_else(door: FrontDoor, name: str) -> None:
    file = made(door, b"x", name)
    assert file.filename == name.replace("%22", '"')
    said = content(door, file.id)[1]["Content-Disposition"]
    assert said.startswith('attachment; filename="')
    assert said.isascii()
    assert "\r" not in said
    assert "\n" not in said
    assert said.count('"') == 2


def test_a_quote_in_a_name_is_read_as_forms_write_it(door: FrontDoor) -> None:
    response = bring_raw(door, PURPOSE + part("file", b"x", 'a\\"b.jsonl') + END)
    file = read(response, FileObject)
    assert file.filename == 'a"b.jsonl'
    assert content(door, file.id)[1]["Content-Disposition"] == (
        "attachment; filename=\"a_b.jsonl\"; filename*=UTF-8''a%22b.jsonl"
    )


def test_a_name_with_a_line_break_breaks_no_header(door: FrontDoor) -> None:
    id = made(door).id
    rows(door.engine, "UPDATE files SET filename = :name WHERE id = :id RETURNING 1",
         name='a"\r\nSet-Cookie: b', id=id.removeprefix("file-"))  # fmt: skip
    headers = content(door, id)[1]
    assert "Set-Cookie" not in headers
    assert headers["Content-Disposition"].isprintable()


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"purpose": "batch_output"}, "unsupported_value", "purpose"),
        ({"purpose": "mischief"}, "unsupported_value", "purpose"),
        ({"colour": "red"}, "unknown_parameter", "colour"),
        ({"expires_after[anchor]": "created_at"}, "invalid_value", "expires_after"),
        ({"expires_after[seconds]": "3600"}, "invalid_value", "expires_after"),
        (
            {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"},
            "invalid_value",
            "expires_after[seconds]",
        ),
        (
            {"expires_after[anchor]": "last_used", "expires_after[seconds]": "3600"},
            "unsupported_value",
            "expires_after[anchor]",
        ),
    ],
)
def test_a_field_that_cannot_be_meant_is_refused_by_name(
    door: FrontDoor, fields: dict[str, str], code: str, param: str
) -> None:
    assert refusal(bring(door, b"{}", **fields))[:3] == (400, code, param)
    check_nothing_is_left_over(door)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (PURPOSE + FILE, "cut off"),
        (PURPOSE + FILE[:-3], "cut off"),
        (PURPOSE + part("file", b"x" * 200_000, "a")[:-5], "cut off"),
        (b"", "cut off"),
        (b"{}", "cut off"),
        (PURPOSE + END, "needs one file"),
        (FILE + END, "missing|required"),
        (PURPOSE + part("data", b"x", "a") + END, "needs one file"),
        (PURPOSE + FILE + FILE + END, "two files"),
        (PURPOSE + PURPOSE + FILE + END, "twice"),
        (PURPOSE + part("file", b"x", "") + END, "name must have"),
        (PURPOSE + part("file", b"x", "n" * 513) + END, "name must have"),
        (PURPOSE + part("file", b"x", "a\x00b") + END, "name must have"),
        (part("purpose", b"p" * 300_000) + FILE + END, "too long"),
        (b"".join(part(f"f{n}", b"") for n in range(40)) + FILE + END, "too many"),
        (b"--" + BOUNDARY.encode() + b"\r\n" + b"h" * 300_000, "too long|cut off"),
    ],
)
def test_a_form_that_is_none_is_refused_and_leaves_nothing(
    door: FrontDoor, body: bytes, why: str
) -> None:
    status, _, _, message = refusal(bring_raw(door, body))
    assert status == 400
    assert any(word in message.lower() for word in why.split("|")), message
    check_nothing_is_left_over(door)


@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data", "multipart/form-data; boundary=ü", ""]
)
def test_what_is_no_form_at_all_is_refused(door: FrontDoor, kind: str) -> None:
    response = bring_raw(door, b"{}", kind or "text/plain")
    assert refusal(response)[:2] == (400, "invalid_request")


def test_a_file_that_is_too_large_is_refused_with_and_without_a_length(door: FrontDoor) -> None:
    most = door.services.settings.max_file_bytes
    assert made(door, b"x" * most).bytes == most
    said = refusal(bring(door, b"x" * (most + 1)))
    assert said[:3] == (413, "file_too_large", "file")
    assert refusal(bring(door, b"x" * (most + 1_000_000)))[:2] == (413, "file_too_large")
    endless = PURPOSE + part("file", b"x" * (most + 1_000_000), "a") + END
    chunked = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    response = bring_raw(door, endless, environ_overrides=chunked)
    assert refusal(response)[:2] == (413, "file_too_large")
    check_nothing_is_left_over(door)


def test_other_routes_take_no_more_than_before(door: FrontDoor) -> None:
    assert refusal(door.submit(b"x" * 1_000_001))[:2] == (413, "body_too_large")


def test_somebody_elses_file_is_as_good_as_none(door: FrontDoor) -> None:
    file, other = made(door), door.key(tenant="other")
    for method, path in (
        ("GET", f"/v1/files/{file.id}"),
        ("GET", f"/v1/files/{file.id}/content"),
        ("DELETE", f"/v1/files/{file.id}"),
    ):
        said = refusal(door.send(method, path, key=other))
        missing = refusal(door.send(method, path.replace(file.id, "file-" + "0" * 32), key=other))
        assert said[:3] == missing[:3] == (404, "file_not_found", "file_id")
    assert read(door.get("/v1/files", key=other), FileList).data == []
    own = made(door, key=other)
    assert [f.id for f in read(door.get("/v1/files", key=other), FileList).data] == [own.id]
    assert content(door, file.id)[0] == b"{}\n"


@pytest.mark.parametrize("id", ["file-1", "x", "file-" + "g" * 32, "file_" + "0" * 32, "a" * 300])
def test_what_is_no_id_is_no_file(door: FrontDoor, id: str) -> None:
    assert refusal(door.get(f"/v1/files/{id}"))[:2] == (404, "file_not_found")


def test_a_list_has_pages_both_ways_and_by_purpose(door: FrontDoor) -> None:
    key = door.key(tenant="lists")
    ids = [made(door, name=str(n), key=key).id for n in range(5)]
    evals = made(door, key=key, purpose="evals").id

    def pages(query: str) -> list[list[str]]:
        found, after = [], ""
        while True:
            page = read(door.get(f"/v1/files?limit=2{query}{after}", key=key), FileList)
            found.append([file.id for file in page.data])
            assert (page.first_id, page.last_id) == (page.data[0].id, page.data[-1].id)
            if not page.has_more:
                return found
            after = f"&after={page.last_id}"

    assert pages("&order=asc&purpose=batch") == [ids[:2], ids[2:4], ids[4:]]
    assert [id for page in pages("") for id in page] == [evals, *reversed(ids)]
    assert pages("&purpose=evals") == [[evals]]
    empty = read(door.get("/v1/files?purpose=user_data", key=key), FileList)
    assert (empty.data, empty.first_id, empty.has_more) == ([], None, False)
    for query in ("limit=0", "limit=10001", "order=up", "colour=red"):
        assert refusal(door.get(f"/v1/files?{query}", key=key))[0] == 400
    theirs = made(door, key=door.key(tenant="other lists")).id
    for after in ("x", "file-" + "0" * 32, theirs):
        told = refusal(door.get(f"/v1/files?after={after}", key=key))
        assert told[:3] == (404, "file_not_found", "after")
    door.send("DELETE", f"/v1/files/{ids[2]}", key=key)
    on = read(door.get(f"/v1/files?after={ids[2]}", key=key), FileList)
    assert [file.id for file in on.data] == [ids[1], ids[0]]


def test_a_file_expires_when_it_was_told_to(door: FrontDoor) -> None:
    life = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = made(door, **life)
    assert file.expires_at is not None
    assert file.expires_at - file.created_at in (3600, 3601)
    rows(door.engine, "UPDATE files SET expires_at = clock_timestamp() WHERE id = :id RETURNING 1",
         id=file.id.removeprefix("file-"))  # fmt: skip
    assert refusal(door.get(f"/v1/files/{file.id}"))[:2] == (410, "file_gone")
    assert file.id not in {f.id for f in read(door.get("/v1/files"), FileList).data}


def test_the_openapi_document_tells_what_the_forms_are(door: FrontDoor) -> None:
    document = door.get("/openapi/openapi.json").get_json()
    for path, form, field in (
        ("/v1/files", "FileForm", "file"),
        ("/v1/uploads/{upload_id}/parts", "PartForm", "data"),
    ):
        body = document["paths"][path]["post"]["requestBody"]
        assert body["required"]
        assert body["content"]["multipart/form-data"]["schema"]["$ref"].endswith(f"/{form}")
        field_schema = document["components"]["schemas"][form]["properties"][field]
        assert field_schema["format"] == "binary"
    content = document["paths"]["/v1/files/{file_id}/content"]["get"]["responses"]["200"]
    assert set(content["content"]) == {"application/octet-stream"}


def test_with_every_place_taken_more_files_are_told_to_come_later(door: FrontDoor) -> None:
    most = door.services.settings.max_transfers
    taken = [door.services.transfers.one({}) for _ in range(most)]
    for place in taken:
        place.__enter__()
    response = bring(door)
    assert refusal(response)[:2] == (503, "too_many_transfers")
    assert response.headers["Retry-After"].isdecimal()
    for place in taken:
        place.__exit__(None, None, None)
    made(door)


def upload(door: FrontDoor, path: str = "", body: Any = None, **more: Any) -> TestResponse:
    return door.send("POST", f"/v1/uploads{path}", data=json.dumps(body or {}),
                     content_type="application/json", **more)  # fmt: skip


BEGIN = {"bytes": 6, "filename": "b.jsonl", "mime_type": "text/jsonl", "purpose": "batch"}


def begun(door: FrontDoor, **changes: Any) -> str:
    response = upload(door, body=BEGIN | changes)
    assert response.status_code == 200, response.text
    return str(response.get_json()["id"])


def add(door: FrontDoor, id: str, data: bytes, **more: Any) -> TestResponse:
    return door.send("POST", f"/v1/uploads/{id}/parts", data={"data": (io.BytesIO(data), "p")},
                     content_type="multipart/form-data", **more)  # fmt: skip


def added(door: FrontDoor, id: str, data: bytes) -> str:
    response = add(door, id, data)
    assert response.status_code == 200, response.text
    assert response.get_json()["upload_id"] == id
    return str(response.get_json()["id"])


def test_parts_make_a_file_in_the_order_that_is_said(door: FrontDoor) -> None:
    id = begun(door)
    two, one, _ = added(door, id, b"two"), added(door, id, b"one"), added(door, id, b"one")
    said = upload(door, f"/{id}/complete", {"part_ids": [one, two]}).get_json()
    assert said["status"] == "completed"
    assert content(door, said["file"]["id"])[0] == b"onetwo"
    assert said["file"]["filename"] == "b.jsonl"
    again = upload(door, f"/{id}/complete", {"part_ids": [one, two]}).get_json()
    assert again["file"] == said["file"]
    assert refusal(add(door, id, b"x"))[:2] == (400, "upload_ended")
    assert refusal(upload(door, f"/{id}/cancel"))[:2] == (400, "upload_ended")
    check_nothing_is_left_over(door)


def test_parts_that_are_not_what_was_said_make_no_file(door: FrontDoor) -> None:
    id = begun(door)
    one, other = added(door, id, b"one"), added(door, begun(door), b"two")
    for body, param in (
        ({"part_ids": [one]}, "part_ids"),
        ({"part_ids": [one, one]}, "part_ids"),
        ({"part_ids": [one, other]}, "part_ids"),
        ({"part_ids": ["part_x"]}, "part_ids"),
        ({"part_ids": [one, added(door, id, b"two")], "md5": "0" * 32}, "md5"),
    ):
        assert refusal(upload(door, f"/{id}/complete", body))[::2][:2] == (400, param)
    files = value(door.engine, "SELECT count(*) FROM files WHERE filename = 'b.jsonl'"
                               " AND created_at > clock_timestamp() - interval '1 s'"
                               " AND erased_at IS NULL AND size_bytes <> 6")  # fmt: skip
    assert files == 0
    assert refusal(add(door, id, b"x" * 13))[:3] == (400, "invalid_request", "data")
    check_nothing_is_left_over(door)


def test_a_cancelled_or_late_upload_leaves_nothing(door: FrontDoor) -> None:
    id = begun(door)
    added(door, id, b"one")
    assert upload(door, f"/{id}/cancel").get_json()["status"] == "cancelled"
    assert upload(door, f"/{id}/cancel").get_json()["status"] == "cancelled"
    assert refusal(upload(door, f"/{id}/complete", {"part_ids": ["part_" + "0" * 32]}))[0] == 400
    late = begun(door)
    part_id = added(door, late, b"onetwo")
    rows(door.engine, "UPDATE uploads SET expires_at = now() WHERE id = :id RETURNING 1",
         id=late.removeprefix("upload_"))  # fmt: skip
    assert refusal(add(door, late, b"x"))[:2] == (400, "upload_ended")
    assert refusal(upload(door, f"/{late}/complete", {"part_ids": [part_id]}))[0] == 400
    uploads.expire_uploads(door.engine, door.services.contents)
    assert refusal(upload(door, f"/{late}/cancel"))[:2] == (400, "upload_ended")
    check_nothing_is_left_over(door)


def test_an_upload_is_bounded_and_its_tenants_own(door: FrontDoor) -> None:
    assert refusal(upload(door, body=BEGIN | {"bytes": 1_000_001}))[:2] == (413, "file_too_large")
    begun(door, bytes=1_000_001, purpose="user_data")
    for change in ({"bytes": 0}, {"purpose": "batch_output"}, {"filename": ""}, {"x": 1}):
        assert refusal(upload(door, body=BEGIN | change))[0] == 400
    id, other = begun(door), door.key(tenant="other")
    for response in (
        add(door, id, b"x", key=other),
        upload(door, f"/{id}/complete", {"part_ids": ["part_" + "0" * 32]}, key=other),
        upload(door, f"/{id}/cancel", key=other),
        upload(door, "/upload_x/cancel"),
    ):
        assert refusal(response)[:2] == (404, "upload_not_found")


def test_what_is_half_written_is_swept_after_an_hour(door: FrontDoor) -> None:
    contents = door.services.contents
    check_nothing_is_left_over(door)
    loose.announce(door.engine, door.tenant_id, new_id())
    id = new_id()
    loose.announce(door.engine, door.tenant_id, id)
    sink = contents.begin(loose.content_key(door.tenant_id, id))
    sink.write(b"x")
    assert on_the_storage(door) - known_contents(door) == {id.hex}
    loose.sweep(door.engine, contents)
    assert id.hex in on_the_storage(door)
    loose.sweep(door.engine, contents, writing_s=0)
    check_nothing_is_left_over(door)
    sink.discard()
