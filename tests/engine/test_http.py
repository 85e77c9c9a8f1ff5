"""The pages themselves, where no running service would show it: bugs, and deployments that are ill."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from audiocur.engine.http import application
from audiocur.engine.uploads import Refused


class Broken:
    """A service with a bug, whose model is ill."""

    async def clip(self, request: object, columns: str | None) -> Mapping[str, Any]:
        if columns == "busy":
            raise Refused(503, "try\nlater", retry_after_s=7)
        return {"tempo_bpm": {}["missing"]}

    async def health(self) -> Mapping[str, str]:
        return {"asr": "UNHEALTHY", "pipeline": "HEALTHY"}

    def ops(self) -> Mapping[str, Any]:
        return {"ops": [], "rules": {}}


def ask(method: str, path: str, query: str = "") -> tuple[int, dict[str, Any], dict[bytes, bytes]]:
    """Status, answer and headers, from the ASGI application as a server would have them."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    with suppress(KeyError):  # raised for the server's log, once it is answered
        asyncio.run(application(Broken(), {})(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body), dict(sent[0]["headers"])


def test_a_bug_is_one_line_without_a_traceback():
    assert ask("POST", "/v1/clip")[:2] == (500, {"error": "unexpected: KeyError"})


def test_who_is_to_come_again_is_told_when():
    status, answer, headers = ask("POST", "/v1/clip", "columns=busy")
    assert (status, answer, headers[b"retry-after"]) == (503, {"error": "try later"}, b"7")


def test_an_ill_deployment_is_named():
    status, answer, _ = ask("GET", "/healthz")
    assert status == 503
    assert answer == {"error": "asr is UNHEALTHY", "deployments": {"asr": "UNHEALTHY", "pipeline": "HEALTHY"}}


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/clip", 405), ("GET", "/nowhere", 404)])
def test_what_is_not_there_is_told_as_json(method, path, status):
    found, answer, _ = ask(method, path)
    assert found == status
    assert answer["error"].startswith(f"{path}: ")
