"""What happened: past events, new ones as they come, and why they say what they say."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator, Field

from streamd.errors import UnavailableError
from streamd.events import Event, EventType
from streamd.explaining import reason
from streamd.gateway.api.answers import EventAnswer, event_body
from streamd.gateway.eventfeed import EventFeed
from streamd.gateway.operations import Answer, Call, Operation, Refused
from streamd.gateway.services import Services
from streamd.journal import Filter, Journal, readable

logger = logging.getLogger(__name__)

PULSE_S = 15.0
"""A stream that has nothing to say says so this often, for proxies and for networks that just end."""
LOOK_S = 1.0
"""How soon it is noticed that a page was closed: it would count among those that follow."""
WRITTEN_S = 1.0
"""An event is told before its picture is on the disk: a picture of today is awaited for this long."""
_AGAIN_S = 0.1
_MOST_REVISIONS = 5000
_TAGS = ("events",)


def _as_in_events(text: str) -> str:
    """Raises ValueError: it is no moment, or of no zone."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):
        pass
    raise ValueError("should be a moment in RFC 3339, such as 2026-03-01T21:00:00Z")


Moment = Annotated[str, Field(max_length=64, json_schema_extra={"format": "date-time"}), AfterValidator(_as_in_events)]
Camera = Annotated[str, Field(max_length=63)]


class EventsQuery(Answer):
    camera: list[Camera] = Field(default=[], max_length=64)
    type: list[EventType] = Field(default=[], max_length=16)
    person: str | None = Field(default=None, max_length=200)
    """A person's or stranger's name or id."""
    from_: Moment | None = Field(default=None, alias="from")
    """RFC 3339, such as ``2026-03-01T21:00:00Z``; inclusive."""
    until: Moment | None = None
    before: int | None = Field(default=None, ge=1, le=2**53)
    """Only events numbered below: the last answer's ``next``."""
    limit: int = Field(default=50, ge=1, le=500)


class EventsAnswer(Answer):
    events: list[EventAnswer]
    """Newest first."""
    next: int | None
    """Give it as ``before`` for those before; null where there are none."""


class StreamQuery(Answer):
    camera: list[Camera] = Field(default=[], max_length=64)
    type: list[EventType] = Field(default=[], max_length=16)


class ExplanationAnswer(Answer):
    track: str
    reason: str
    """One sentence."""
    account: dict[str, Any] | None
    """What every look at the face said; docs/events.md tells of its fields."""
    events: list[EventAnswer]


def operations(services: Services, feed: EventFeed) -> list[Operation]:
    async def listed(call: Call) -> EventsAnswer:
        query = call.query(EventsQuery)
        only = Filter(
            cameras=tuple(query.camera),
            types=tuple(kind.value for kind in query.type),
            person=query.person,
            from_at=query.from_,
            until_at=query.until,
            until_seq=None if query.before is None else query.before - 1,
        )

        def work(journal: Journal) -> EventsAnswer:
            rows = journal.last(query.limit, only=only)[::-1]
            revisions = journal.revisions(rows[-1].seq, _MOST_REVISIONS) if rows else {}
            later = {event.revises: event for event in readable(revisions.values())}
            events = [EventAnswer(**event_body(event, later.get(event.id))) for event in readable(rows)]
            return EventsAnswer(events=events, next=rows[-1].seq if len(rows) == query.limit else None)

        return await services.journal(work) or EventsAnswer(events=[], next=None)

    async def stream(call: Call) -> web.StreamResponse:
        query = call.query(StreamQuery)
        since = call.request.headers.get("Last-Event-ID", "")
        cameras, types = set(query.camera), {kind.value for kind in query.type}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        with feed.place(call.who.name), suppress(ConnectionError):
            await response.prepare(call.request)
            if call.request.method == "HEAD":
                return response
            await response.write(b"retry: 2000\n\n")
            async with (
                aclosing(feed.follow(int(since) if since.isdecimal() and len(since) < 16 else None)) as events,
                aclosing(_with_pulse(events, gone=lambda: _is_gone(services, call.request))) as told,
            ):
                async for event in told:
                    if event is None:
                        await response.write(b": \n\n")
                    elif (not cameras or event.camera in cameras) and (not types or event.type.value in types):
                        await response.write(_message(event))
        return response

    async def explained(call: Call) -> ExplanationAnswer:
        event_id = call.path["id"]

        def work(journal: Journal) -> ExplanationAnswer:
            found = next(readable([row]), None) if (row := journal.find(event_id)) else None
            if found is None:
                raise Refused(404, "not_found", "there is no such event in the journal any more")
            if found.track is None:
                raise Refused(404, "not_found", f"{found.type.value} tells of no face")
            events = list(readable(journal.of_track(found.track)))
            account = journal.account(found.track)
            return ExplanationAnswer(
                track=found.track,
                reason=reason(events, account),
                account=account,
                events=[EventAnswer(**event_body(event)) for event in events],
            )

        answer = await services.journal(work)
        if answer is None:
            raise Refused(404, "not_found", "nothing was recorded yet")
        return answer

    async def snapshot(call: Call) -> bytes:
        day, file = call.path["day"], call.path["file"]
        patience_s = WRITTEN_S if day == datetime.now(UTC).date().isoformat() else 0.0
        end_s = time.monotonic() + patience_s
        while True:
            try:
                return await services.thread(lambda: _picture(services, f"{day}/{file}"))
            except Refused:
                if time.monotonic() > end_s:
                    raise
            await asyncio.sleep(_AGAIN_S)

    return [
        Operation(
            "GET",
            "/api/v1/events",
            "Past events, newest first",
            listed,
            query=EventsQuery,
            answer=EventsAnswer,
            tags=_TAGS,
        ),
        Operation(
            "GET",
            "/api/v1/events/stream",
            "New events as they come (server-sent events)",
            stream,
            query=StreamQuery,
            gives="text/event-stream",
            tags=_TAGS,
        ),
        Operation(
            "GET",
            "/api/v1/events/{id}/explanation",
            "Why an appearance got its name, or none",
            explained,
            answer=ExplanationAnswer,
            tags=_TAGS,
        ),
        Operation(
            "GET",
            r"/api/v1/snapshots/{day:\d\d\d\d-\d\d-\d\d}/{file}",
            "A picture that an event refers to",
            snapshot,
            gives="image/jpeg",
            tags=_TAGS,
        ),
    ]


def _is_gone(services: Services, request: web.Request) -> bool:
    """Whether nobody listens any more, or somebody who may not."""
    return request.transport is None or request.transport.is_closing() or not services.gatekeeper.admits(request)


async def _with_pulse(events: AsyncIterator[Event], *, gone: Callable[[], bool]) -> AsyncGenerator[Event | None]:
    """The events, and None after each while without one. Ends soon after whoever listened is ``gone``."""
    pending: asyncio.Task[Event] | None = None
    silent_since_s = time.monotonic()
    try:
        while not gone():
            pending = pending or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait([pending], timeout=LOOK_S)
            if done:
                task, pending = pending, None
                yield task.result()
            elif time.monotonic() - silent_since_s < PULSE_S:
                continue
            else:
                yield None
            silent_since_s = time.monotonic()
    finally:
        if pending is not None:
            pending.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await pending


def _message(event: Event) -> bytes:
    body = json.dumps(event_body(event), ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.seq}\nevent: event\ndata: {body}\n\n".encode()


def _picture(services: Services, name: str) -> bytes:
    """Raises Refused: it is not there, or is none of ours."""
    from streamd.gallery.vault import load_vault

    folder = services.config.snapshots_dir.resolve()
    path = (folder / name).resolve()
    gone = Refused(404, "not_found", "this picture was deleted, or never kept")
    if not path.is_relative_to(folder) or not _is_picture(path):
        raise gone
    try:
        data = path.read_bytes()
    except OSError as error:
        raise gone from error
    if path.suffix == ".sealed":
        vault = load_vault(services.config.gallery.key_file)
        if vault is None:
            raise UnavailableError("this picture is encrypted, and gallery.key_file is not given")
        data = vault.open(data)
    return data


def _is_picture(path: Path) -> bool:
    return path.name.removesuffix(".sealed").endswith(".jpg") and not path.name.startswith(".")
