"""The API does what its document says, whatever is asked: a property-based run over every operation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from gatewayparts import Box, Client, csrf, seen
from hypothesis import HealthCheck, Phase, settings

from streamd.events import EventType
from streamd.gateway.app import described

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("default")]

EXAMPLES = 25
ENDLESS = ("/api/v1/events/stream", "/api/v1/cameras/{name}/stream.mjpeg")
ELSEWHERE = ("/api/v1/cameras/test",)
"""It would call on whatever hosts are made up; a test of its own asks it."""


@schemathesis.serializer("application/sdp")
def _as_text(ctx: object, value: object) -> bytes:
    return str(value).encode(errors="replace")


schema = schemathesis.openapi.from_dict(described())
for path in (*ENDLESS, *ELSEWHERE):
    schema = schema.exclude(path=path)


class Served:
    """A gateway in a thread, for tests that ask from outside the loop."""

    def __init__(self, box: Box) -> None:
        self.url, self.csrf = "", ""
        self._box = box
        self._listening, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=box.run, args=(self._serve,))

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._listening.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(20)

    async def _serve(self, client: Client) -> None:
        self.url, self.csrf = str(client.make_url("/")), (await csrf(client))["X-CSRF-Token"]
        self._listening.set()
        while not self._done.is_set():
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Served]:
    box = Box(tmp_path_factory.mktemp("box"))
    (box.config.state_dir / "models").symlink_to(models_dir)
    box.enroll("Ana", 1, 2)
    box.enroll("Ben", 3)
    box.meet("unknown-7f3a", times=3)
    box.record(*(seen("door", EventType.FACE_APPEARED, n=n) for n in range(5)))
    with Served(box) as running:
        yield running


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_answer_is_outside_the_document(case: schemathesis.Case, served: Served) -> None:
    answer = case.call(base_url=served.url, headers={"X-CSRF-Token": served.csrf})
    checks = schemathesis.checks
    case.validate_response(
        answer,
        checks=[
            checks.not_a_server_error,
            checks.status_code_conformance,
            checks.content_type_conformance,
            checks.response_schema_conformance,
        ],
    )
