from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from starlette.requests import Request

from audiocur.engine.uploads import Refused, Uploads

BOUNDARY = b"--xyz"


def request(
    chunks: Sequence[bytes], *, content_type: str = "", length: int | None = None, gone: bool = False
) -> Request:
    """A request whose body comes in these chunks; `gone` before its end."""
    headers = [(b"content-type", content_type.encode())]
    headers += [(b"content-length", str(length).encode())] if length is not None else []
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if gone else {"type": "http.request", "body": b""})

    async def receive():
        return messages.pop(0)

    made = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    made.state.left = messages
    return made


def received(made: Request, uploads: Uploads | None = None) -> bytes:
    async def main() -> bytes:
        async with (uploads or Uploads(1, 2)).received(made) as file:
            return file.read()

    return asyncio.run(main())


def form(content: bytes, name: str = "file", more: bytes = b"") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
    return more + BOUNDARY + b"\r\n" + head.encode() + content + b"\r\n" + BOUNDARY + b"--\r\n"


FORM = "multipart/form-data; boundary=xyz"


def test_a_body_is_taken_as_it_is_whatever_its_type():
    for content_type in ("", "audio/flac", "application/x-www-form-urlencoded"):
        assert received(request([b"fL", b"aC"], content_type=content_type)) == b"fLaC"


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_the_file_of_a_form_is_found_however_it_is_cut(size):
    content = bytes(range(256)) + b"\r\n--xy" + b"\r\n--xyy"
    note = BOUNDARY + b'\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'
    body = form(content, more=note)
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    assert received(request(chunks, content_type=FORM)) == content


def test_what_says_that_it_is_too_large_is_refused_unread():
    made = request([b"x"], length=1_000_001)
    with pytest.raises(Refused, match="at most 1 MB") as refused:
        received(made)
    assert refused.value.status == 413
    assert len(made.state.left) == 2


@pytest.mark.parametrize("content_type", ["", FORM])
def test_what_becomes_too_large_is_refused_before_its_end(content_type):
    start = form(b"")[:-10] if content_type else b""
    made = request([start, *[bytes(100_000)] * 40], content_type=content_type)
    with pytest.raises(Refused) as refused:
        received(made, Uploads(1, 100))
    assert refused.value.status == 413
    assert len(made.state.left) >= 28


def test_what_all_hold_together_is_bounded_and_let_go():
    uploads = Uploads(1, 2)
    big = [bytes(900_000)]

    async def main() -> None:
        async with uploads.received(request(big)), uploads.received(request(big)):
            with pytest.raises(Refused) as refused:
                async with uploads.received(request(big)):
                    pass
            assert (refused.value.status, refused.value.retry_after_s) == (503, 5)
            unread = request(big, length=900_000)
            with pytest.raises(Refused):
                async with uploads.received(unread):
                    pass
            assert len(unread.state.left) == 2
        async with uploads.received(request(big)) as file:
            assert len(file.read()) == 900_000
        assert uploads.held_bytes == 0

    asyncio.run(main())


@pytest.mark.parametrize(
    ("made", "status", "reason"),
    [
        (lambda: request([]), 422, "empty"),
        (lambda: request([b"abc"], gone=True), 400, "ended before its end"),
        (lambda: request([form(b"abc", name="audio")], content_type=FORM), 422, "without a field named file"),
        (lambda: request([form(b"")], content_type=FORM), 422, "empty"),
        (lambda: request([form(b"abc")[:-9]], content_type=FORM), 400, "ends before its last boundary"),
        (lambda: request([b"no form"], content_type=FORM), 400, "multipart/form-data: "),
        (lambda: request([b"abc"], content_type="multipart/form-data"), 400, "without a boundary"),
        (
            lambda: request([form(b"a")[:-9] + b"\r\n" + form(b"b")], content_type=FORM),
            400,
            "expected one field named file",
        ),
    ],
)
def test_what_is_no_upload_is_refused_with_the_reason(made, status, reason):
    with pytest.raises(Refused, match=reason) as refused:
        received(made())
    assert refused.value.status == status
