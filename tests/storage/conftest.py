"""An S3 server on loopback, started once and shared: real requests, counted, and refused on demand."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from moto.server import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from audiocur.storage import protocols


class ObjectStore:
    """The server.

    Attributes:
        url: its endpoint.
        requests: method and path of every one since `counted` began.
    """

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._refused: tuple[re.Pattern[str], int, int] | None = None
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        self.requests = []
        yield self.requests

    @contextmanager
    def refusing(self, pattern: str, status: int, times: int = 1_000_000) -> Iterator[None]:
        """Answer requests, told as "GET /bucket/key", with a status and nothing else, so many times."""
        self._refused = (re.compile(pattern), status, times)
        yield
        self._refused = None

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.requests.append(request)
        if self._refused and self._refused[0].search(request) and self._refused[2] > 0:
            pattern, status, times = self._refused
            self._refused = (pattern, status, times - 1)
            start_response(f"{status} Refused", [("Content-Length", "0")])
            return []
        return self._app(environ, start_response)


class Bucket:
    """A bucket of its own for a test."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.name = f"test-{uuid4().hex[:12]}"
        self.system = fsspec.filesystem("s3", use_listings_cache=False)
        self.system.mkdir(self.name)

    @property
    def url(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes) -> str:
        """Put an object there and return its URL."""
        self.system.pipe_file(f"{self.name}/{key}", data)
        return f"{self.url}/{key}"

    def put_folder(self, folder: Path, prefix: str) -> str:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())
        return f"{self.url}/{prefix}"

    def remove(self, key: str) -> None:
        self.system.rm_file(f"{self.name}/{key}")


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    store = ObjectStore()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL", store.url)
        yield store
        forget_connections()
    store.stop()


@pytest.fixture
def bucket(object_store: ObjectStore) -> Bucket:
    return Bucket(object_store)


@pytest.fixture
def unreachable(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """S3 at an address where nobody answers."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_connections()
    yield
    monkeypatch.undo()
    forget_connections()


def forget_connections() -> None:
    """Endpoints are read from the environment when a connection is made."""
    protocols._made.cache_clear()
    fsspec.get_filesystem_class("s3").clear_instance_cache()
