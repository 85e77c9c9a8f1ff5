"""Bodies of requests as they come in: bounded while they stream, and on disk rather than in memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from starlette.requests import Request

#: Headers and boundaries of a form beside its file.
_FORM_BYTES = 65_536
_FIELD = b"file"
#: How long what is refused may go on coming in.
_IN_VAIN_S = 10.0


class Refused(Exception):  # noqa: N818 - an answer, and often nobody's error
    """A request that is answered without a clip's measures.

    Attributes:
        status: of HTTP.
        reason: one line, for whoever asked.
        retry_after_s: when to try again, null where that would change nothing.
    """

    def __init__(self, status: int, reason: str, retry_after_s: int | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.retry_after_s = status, " ".join(reason.split()), retry_after_s


class Uploads:
    """Uploads in temporary files without a name: nothing is left behind, however the process ends.

    Attributes:
        most_mb: of one upload.
        most_held_mb: of all that are held at once.
        held_bytes: now, those that are still to come included where their length was declared.
    """

    def __init__(self, most_mb: int, most_held_mb: int) -> None:
        self.most_mb, self.most_held_mb = most_mb, most_held_mb
        self.held_bytes = 0

    @asynccontextmanager
    async def received(self, request: Request) -> AsyncIterator[BinaryIO]:
        """The recording that a request brings, as its body or as the field `file` of a form.

        Raises:
            Refused: it is too large, empty or no form although it says so, or too much is held already.
        """
        limit = self.most_mb * 1_000_000
        form, boundary = _form(request.headers.get("content-type", ""))
        declared = int(request.headers.get("content-length", 0))
        if declared > limit + _FORM_BYTES * form:
            raise self._too_large()
        # Serve's proxy passes a body on as fast as it comes: what was declared is in memory before it is on disk.
        share = _Share(self, declared)
        with tempfile.TemporaryFile() as file:
            sink = _FileOfForm(boundary, file) if form else file
            num_bytes = 0
            try:
                async for chunk in _chunks(request):
                    num_bytes += len(chunk)
                    share.grow(num_bytes)
                    sink.write(chunk)
                    if file.tell() > limit or num_bytes > limit + _FORM_BYTES:
                        raise self._too_large()
                if isinstance(sink, _FileOfForm):
                    sink.finish()
                if not file.tell():
                    raise Refused(422, "empty: expected a recording as the body, or as the field file of a form")
                file.seek(0)
                yield file
            finally:
                share.end()

    def _too_large(self) -> Refused:
        return Refused(413, f"too large: expected at most {self.most_mb} MB (serve.max_upload_mb)")


async def sent_in_vain(request: Request) -> None:
    """Let a client that asks for its connection to be closed send the rest of its body, for a while.

    Closed with bytes unread, the connection would be reset, and the client never see why it was refused. On others,
    the server reads on after its answer.
    """
    from starlette.requests import ClientDisconnect

    if request.headers.get("connection", "").lower() != "close":
        return
    # Starlette raises RuntimeError where all of the body has been read.
    with suppress(TimeoutError, ClientDisconnect, RuntimeError):
        async with asyncio.timeout(_IN_VAIN_S):
            async for _ in request.stream():
                pass


class _Share:
    """What one upload takes of what all may hold."""

    def __init__(self, uploads: Uploads, num_bytes: int) -> None:
        self._uploads, self._num_bytes = uploads, 0
        self.grow(num_bytes)

    def grow(self, num_bytes: int) -> None:
        more = max(0, num_bytes - self._num_bytes)
        if self._uploads.held_bytes + more > self._uploads.most_held_mb * 1_000_000:
            held = f"{self._uploads.held_bytes / 1e6:.0f} MB of uploads are held already (serve.waiting_mb)"
            raise Refused(503, f"{held}; try again later", retry_after_s=5)
        self._uploads.held_bytes += more
        self._num_bytes += more

    def end(self) -> None:
        self._uploads.held_bytes -= self._num_bytes


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    from starlette.requests import ClientDisconnect

    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise Refused(400, "the upload ended before its end") from None


def _form(content_type: str) -> tuple[bool, bytes]:
    """Whether the body is a form with files, and what parts its fields."""
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(content_type)
    return kind == b"multipart/form-data", options.get(b"boundary", b"")


class _FileOfForm:
    """Takes the chunks of a form, and writes those of its one file on."""

    def __init__(self, boundary: bytes, file: BinaryIO) -> None:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser

        if not boundary:
            raise Refused(400, "multipart/form-data without a boundary")
        self._error = FormParserError
        self._file = file
        self._found = self._ended = self._inside = False
        self._name = self._value = b""
        self._disposition = b""
        callbacks: Any = {
            "on_part_begin": self._begin,
            "on_header_field": self._header_name,
            "on_header_value": self._header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._data,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except self._error as error:
            raise Refused(400, f"multipart/form-data: {error}") from None

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except self._error as error:
            raise Refused(400, f"multipart/form-data: {error}") from None

    def finish(self) -> None:
        if not self._ended:
            raise Refused(400, "multipart/form-data: it ends before its last boundary")
        if not self._found:
            raise Refused(422, "multipart/form-data without a field named file")

    def _begin(self) -> None:
        self._disposition = b""

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._disposition)
        self._inside = options.get(b"name") == _FIELD
        if self._inside and self._found:
            raise Refused(400, "multipart/form-data: expected one field named file")
        self._found = self._found or self._inside

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._file.write(data[start:end])

    def _end(self) -> None:
        self._ended = True
