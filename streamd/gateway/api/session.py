"""Logging in and out."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from streamd.gateway.gatekeeper import Login
from streamd.gateway.operations import WHO, Answer, Call, Operation, Refused
from streamd.gateway.services import Services


class SessionAnswer(Answer):
    user: str | None
    """None where nobody needs to log in."""
    role: str
    csrf: str
    """For the header X-CSRF-Token of everything but GET."""
    authentication: bool
    """Whether there are users."""


class LoginBody(Answer):
    name: str = Field(min_length=1, max_length=64)
    password: str = Field(min_length=1, max_length=256)


def operations(services: Services) -> list[Operation]:
    gatekeeper = services.gatekeeper

    def answer(login: Login) -> SessionAnswer:
        return SessionAnswer(
            user=login.who.name, role=login.who.role.word, csrf=login.csrf, authentication=not gatekeeper.open
        )

    async def show(call: Call) -> SessionAnswer:
        login = gatekeeper.login_of(call.request, call.request.get(WHO))
        if login is None:
            raise Refused(401, "unauthenticated", "log in first")
        return answer(login)

    async def log_in(call: Call) -> web.Response:
        body = call.body(LoginBody)
        login = await gatekeeper.log_in(call.request, body.name, body.password)
        response = web.Response(body=answer(login).model_dump_json().encode(), content_type="application/json")
        if login.secret is not None:
            gatekeeper.set_cookie(call.request, response, login.secret)
        return response

    async def log_out(call: Call) -> web.Response:
        gatekeeper.log_out(call.request)
        response = web.Response(status=204)
        gatekeeper.set_cookie(call.request, response, None)
        return response

    path, tags = "/api/v1/session", ("session",)
    return [
        Operation("GET", path, "Who is logged in", show, least=None, answer=SessionAnswer, refusals=(401,), tags=tags),
        Operation(
            "POST",
            path,
            "Log in",
            log_in,
            least=None,
            body=LoginBody,
            answer=SessionAnswer,
            refusals=(401, 429),
            tags=tags,
        ),
        Operation("DELETE", path, "Log out", log_out, least=None, status=204, refusals=(401,), tags=tags),
    ]
