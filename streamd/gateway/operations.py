"""The API's operations: each is declared once, and from that are made its route, its checks and its documentation."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from streamd.access import Role, Who
from streamd.errors import (
    CameraAway,
    CameraUnknown,
    CodecRefused,
    ConfigError,
    GalleryConflict,
    NotInGallery,
    OfferRefused,
    SenderBusy,
    StreamdError,
    UnavailableError,
    UsageError,
    ViewersFull,
)

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
BODY_S = 20.0
"""How long a body may take to arrive."""
WHO: web.RequestKey[Who] = web.RequestKey("who", Who)

Model = TypeVar("Model", bound=BaseModel)


class Answer(BaseModel):
    """What an operation answers, or is given."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Problem(Answer):
    """Why a request was refused."""

    error: str
    """For people: what is wrong, and what to do."""
    code: Literal[
        "conflict",
        "csrf",
        "forbidden",
        "internal",
        "invalid",
        "method_not_allowed",
        "not_found",
        "throttled",
        "too_large",
        "unauthenticated",
        "unavailable",
        "unsupported",
    ]
    problems: list[str] | None = None
    """Each of several."""


class Refused(Exception):
    """A request that cannot be done, as a status and a sentence."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        problems: Sequence[str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.problems = problems
        self.retry_after_s = retry_after_s


STATUS_CODES = {
    400: "invalid",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    406: "unsupported",
    408: "invalid",
    409: "conflict",
    411: "invalid",
    413: "too_large",
    415: "unsupported",
    422: "invalid",
    429: "throttled",
    500: "internal",
    503: "unavailable",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an operation, checked."""

    request: web.Request
    who: Who
    path: dict[str, str]
    _query: BaseModel | None = None
    _body: BaseModel | None = None

    def query(self, kind: type[Model]) -> Model:
        found = self._query
        if not isinstance(found, kind):
            raise TypeError(f"the operation has no query of {kind.__name__}")
        return found

    def body(self, kind: type[Model]) -> Model:
        found = self._body
        if not isinstance(found, kind):
            raise TypeError(f"the operation has no body of {kind.__name__}")
        return found


Handler = Callable[[Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    summary: str
    handler: Handler
    least: Role | None = Role.VIEWER
    """None: whoever asks, logged in or not."""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    takes: str = "application/json"
    """Media type of the body; the handler reads any but JSON by itself."""
    answer: Any = None
    """Type of the JSON that is answered; None where it is none."""
    gives: str = "application/json"
    status: int = 200
    refusals: Sequence[int] = ()
    """Statuses besides those that every operation may give."""
    tags: Sequence[str] = field(default=("",))

    @property
    def takes_body(self) -> bool:
        return self.body is not None or self.takes != "application/json"


def route(operation: Operation) -> web.RouteDef:
    """The operation as aiohttp mounts it."""
    adapter: TypeAdapter[Any] | None = TypeAdapter(operation.answer) if operation.answer is not None else None

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            call = await _checked(operation, request)
            return _response(operation, adapter, await operation.handler(call))
        except Refused:
            raise
        except StreamdError as error:
            raise refusal(error) from error

    return web.route(operation.method, operation.path, handle, name=None)


async def _checked(operation: Operation, request: web.Request) -> Call:
    who = request.get(WHO)
    if operation.least is not None:
        if who is None or who.role is Role.CAMERA:
            raise Refused(401, "unauthenticated", "log in first")
        if not who.may(operation.least):
            raise Refused(403, "forbidden", f"this takes the role {operation.least.word}; yours is {who.role.word}")
    query = _query(operation.query, request) if operation.query is not None else None
    body = await _body(operation.body, request) if operation.body is not None else None
    return Call(request, who or Who(Role.CAMERA), dict(request.match_info), query, body)


def _query(kind: type[BaseModel], request: web.Request) -> BaseModel:
    given: dict[str, Any] = {}
    for name in dict.fromkeys(request.query):
        values = request.query.getall(name)
        many = name in kind.model_fields and "list" in str(kind.model_fields[name].annotation)
        if len(values) > 1 and not many:
            raise Refused(422, "invalid", f"{name} is given {len(values)} times")
        given[name] = values if many else values[0]
    return validated(kind, given)


async def _body(kind: type[BaseModel], request: web.Request) -> BaseModel:
    if request.content_type != "application/json":
        raise Refused(415, "unsupported", "the body should be application/json")
    try:
        data = json.loads(await read_body(request, MAX_BODY_BYTES))
    except (ValueError, RecursionError) as error:
        raise Refused(422, "invalid", f"the body is not JSON: {str(error)[:200]}") from error
    return validated(kind, data)


async def read_body(request: web.Request, most_bytes: int) -> bytes:
    """The whole body. Raises Refused: it is too large or damaged, or does not come."""
    found = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.content.iter_any():
                found += chunk
                if len(found) > most_bytes:
                    raise Refused(413, "too_large", f"the body is larger than {most_bytes} bytes")
    except TimeoutError as error:
        raise Refused(408, "invalid", f"the body did not come within {BODY_S:.0f} s") from error
    except web.RequestPayloadError as error:
        raise Refused(400, "invalid", "the body is damaged") from error
    return bytes(found)


def validated(kind: type[Model], data: Any) -> Model:
    """Raises Refused: what was given does not fit."""
    try:
        return kind.model_validate(data)
    except ValidationError as invalid:
        problems = [_words(error) for error in invalid.errors(include_url=False, include_input=False)]
        raise Refused(422, "invalid", problems[0], problems=problems) from invalid


def _words(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _response(operation: Operation, adapter: TypeAdapter[Any] | None, result: Any) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    if adapter is None:
        if isinstance(result, bytes):
            return web.Response(body=result, status=operation.status, content_type=operation.gives)
        return web.Response(status=operation.status)
    body = adapter.dump_json(adapter.validate_python(result), by_alias=True)
    return web.Response(body=body, status=operation.status, content_type="application/json", charset="utf-8")


_LIVE: dict[type[StreamdError], tuple[int, str]] = {
    CameraUnknown: (404, "not_found"),
    CameraAway: (503, "unavailable"),
    ViewersFull: (503, "unavailable"),
    SenderBusy: (409, "conflict"),
    CodecRefused: (406, "unsupported"),
    OfferRefused: (400, "invalid"),
}
BUSY_S = 2.0
"""Whoever is told that a camera is busy or away may try again then."""


def row_number(text: str) -> int:
    """A row's number in a path. Raises Refused for one that no row can have."""
    if len(text) > 18:
        raise Refused(404, "not_found", f"there is no number {text[:24]}")
    return int(text)


def refusal(error: StreamdError) -> Refused:
    """What an error of ours means to whoever asked."""
    message = str(error)
    if isinstance(error, ConfigError):
        problems = [problem.message for problem in error.problems]
        return Refused(422, "invalid", problems[0] if problems else message, problems=[str(p) for p in error.problems])
    if isinstance(error, UsageError):
        return Refused(422, "invalid", message)
    if isinstance(error, NotInGallery):
        return Refused(404, "not_found", message)
    if isinstance(error, GalleryConflict):
        return Refused(409, "conflict", message)
    for kind, (status, code) in _LIVE.items():
        if isinstance(error, kind):
            return Refused(status, code, message, retry_after_s=BUSY_S if status in (409, 503) else None)
    if isinstance(error, UnavailableError):
        return Refused(503, "unavailable", message)
    logger.error("an operation failed: %s", message)
    return Refused(500, "internal", "something went wrong; the log says more")


def problem_response(refused: Refused) -> web.Response:
    problem = Problem.model_validate(
        {"error": str(refused), "code": refused.code, "problems": refused.problems and list(refused.problems)}
    )
    headers = {}
    if refused.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(refused.retry_after_s)))
    return web.Response(
        body=problem.model_dump_json(exclude_none=True).encode(),
        status=refused.status,
        headers=headers,
        content_type="application/json",
        charset="utf-8",
    )
