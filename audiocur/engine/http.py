"""The pages of `audiocur serve`: what is asked, what is answered, and the OpenAPI description of both.

Imported only where Serve is: FastAPI comes with the extra `serve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from audiocur import __version__
from audiocur.build import closest
from audiocur.engine.uploads import Refused, sent_in_vain

_ERROR = {
    "type": "object",
    "title": "Error",
    "properties": {"error": {"type": "string", "description": "what is wrong, in one line"}},
    "required": ["error"],
}
_OF_A_CLIP = {
    400: "An unknown column or parameter, or a form that is none.",
    413: "Larger than serve.max_upload_mb; told while it is still coming in.",
    422: "No recording that can be used: empty, undecodable, too long, or of no use to an op; with the reason.",
    500: "An op failed on it by a bug of its own.",
    503: "More waits than serve.waiting or serve.waiting_mb allow, or a model is not there; see Retry-After.",
    504: "No answer within serve.timeout_s.",
}
_RECORDING = {"type": "string", "format": "binary", "description": "any container that audiocur decodes"}
_BODY = {
    "required": True,
    "description": "The recording as it is, whatever its Content-Type, or a form with it as the field `file`.",
    "content": {
        "application/octet-stream": {"schema": _RECORDING},
        "audio/*": {"schema": _RECORDING},
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": _RECORDING}, "required": ["file"]},
        },
    },
}
_HEALTH = {
    "type": "object",
    "title": "Health",
    "properties": {
        "error": {"type": "string", "description": "what is not healthy; absent where all is"},
        "deployments": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["deployments"],
}
_TEXT = {"type": "string"}
_OPS = {
    "type": "object",
    "title": "Ops",
    "properties": {
        "ops": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "does": _TEXT,
                    "model": {"type": "boolean", "description": "it is a deployment of its own"},
                    "parameters": {"type": "object"},
                    "when": {"type": ["string", "null"], "description": "the bound on the clips that it is for"},
                    "columns": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": dict.fromkeys(("name", "type", "unit", "meaning", "source"), _TEXT),
                        },
                    },
                },
            },
        },
        "rules": {"type": "object", "additionalProperties": _TEXT, "description": "keep rules, in words"},
    },
}


class Service(Protocol):
    """What the pages show."""

    async def clip(self, request: Request, columns: str | None) -> Mapping[str, Any]:
        """The columns of the recording that a request brings."""

    async def health(self) -> Mapping[str, str]:
        """The state of each deployment, those that are not healthy in other words than HEALTHY."""

    def ops(self) -> Mapping[str, Any]:
        """The ops and the keep rules."""


def application(service: Service, clip_schema: Mapping[str, Any]) -> FastAPI:
    """The ASGI application.

    Args:
        service: what answers.
        clip_schema: JSON schema of what `POST /v1/clip` answers.
    """
    app = FastAPI(
        title="audiocur",
        version=__version__,
        description="Measures, tags and lyrics of a recording, by the ops of a recipe, and what its keep rules say.",
        redoc_url=None,
        exception_handlers={
            Refused: _refused,
            HTTPException: _http_error,
            RequestValidationError: _invalid,
            Exception: _unexpected,
        },
    )

    @app.post(
        "/v1/clip",
        summary="Measure a recording, taken as one clip",
        responses=_answers("The columns, null where a measure is undefined.", clip_schema, _OF_A_CLIP),
        openapi_extra={"requestBody": _BODY},
    )
    async def clip(
        request: Request,
        columns: Annotated[
            str | None,
            Query(description="Names, parted by commas, of the columns to answer: only their ops work. Default: all."),
        ] = None,
    ) -> JSONResponse:
        try:
            for name in request.query_params:
                if name != "columns":
                    raise Refused(400, f"{name}: unknown parameter{closest(name, ['columns'])}")
            return JSONResponse(await service.clip(request, columns))
        except Refused:
            await sent_in_vain(request)
            raise

    @app.get(
        "/healthz",
        summary="Whether every deployment is healthy",
        responses=_answers("All are.", _HEALTH, {}) | {503: _described("One is not; `error` names it.", _HEALTH)},
    )
    async def healthz() -> JSONResponse:
        deployments = await service.health()
        ill = ", ".join(f"{name} is {state}" for name, state in deployments.items() if state != "HEALTHY")
        body = {"error": ill, "deployments": deployments} if ill else {"deployments": deployments}
        return JSONResponse(body, 503 if ill else 200)

    @app.get(
        "/v1/ops",
        summary="The ops, their parameters and columns, and the keep rules",
        responses=_answers("As the recipe has them.", _OPS, {}),
    )
    async def ops() -> JSONResponse:
        return JSONResponse(service.ops())

    return app


def _answers(meaning: str, schema: Mapping[str, Any], errors: Mapping[int, str]) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {200: _described(meaning, schema)}
    found |= {status: _described(what, _ERROR) for status, what in errors.items()}
    if 503 in errors:
        found[503]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    return found


def _described(meaning: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": meaning, "content": {"application/json": {"schema": dict(schema)}}}


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, Refused):
        raise error
    headers = None if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
    return JSONResponse({"error": error.reason}, error.status, headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """No such page, or another method."""
    if not isinstance(error, HTTPException):
        raise error
    return JSONResponse({"error": f"{request.url.path}: {error.detail}"}, error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": " ".join(str(error).split())}, 400)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    """A bug of ours: its traceback is in the log of the replica, and no client's business."""
    return JSONResponse({"error": f"unexpected: {type(error).__name__}"}, 500)
