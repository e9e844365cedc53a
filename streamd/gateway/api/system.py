"""How the daemon is, in the numbers that ``/metrics`` has."""

from __future__ import annotations

import platform
from importlib import metadata

import streamd
from streamd.access import Role
from streamd.control import ChildStatus, SystemStatus
from streamd.errors import GalleryError
from streamd.exposition import render
from streamd.gallery.store import GalleryStore
from streamd.gallery.strangers import StrangerRecords
from streamd.gateway.operations import Answer, Call, Operation
from streamd.gateway.services import Services
from streamd.lifecycle import State
from streamd.scrape import Scrape

_LIBRARIES = ("aiohttp", "aiortc", "av", "hnswlib", "numpy", "onnxruntime", "opencv-python-headless", "pyzmq")


class ProcessAnswer(Answer):
    name: str
    state: str
    pid: int | None
    restarts: int
    for_s: float
    """Seconds in this state."""
    trouble: str | None
    cpu_s: float | None
    memory_bytes: float | None


class GalleryAnswer(Answer):
    people: int
    faces: int
    unknowns: int
    version: int


class Figures(Answer):
    frame_age_p95_s: float | None
    """Age of pictures when work on them began, since the start."""
    time_to_identity_p50_s: float | None
    events_total: float
    viewers: float
    disk_free_bytes: int | None
    """Of the disk that the state directory is on."""
    state_bytes: int | None
    """What the state directory holds, its folders included."""


class SystemAnswer(Answer):
    version: str
    ready: bool
    problems: dict[str, str]
    """What is wrong, by process."""
    processes: list[ProcessAnswer]
    gallery: GalleryAnswer | None
    figures: Figures
    versions: dict[str, str]
    accelerator: str | None
    config_file: str | None
    """For admins."""
    may_edit: bool
    """Whether cameras can be changed here."""


def problems_of(status: SystemStatus) -> dict[str, str]:
    """What is wrong with each process that does not run, or says so itself."""
    return {
        child.name: child.trouble or child.state
        for child in status.children
        if child.state != State.RUNNING.value or child.trouble
    }


def operations(services: Services) -> list[Operation]:
    async def show(call: Call) -> SystemAnswer:
        status = await services.status()
        scrape = Scrape.parse(render(status.snapshots).decode())
        problems = problems_of(status)
        try:
            gallery = await services.gallery(call.who, _gallery)
        except GalleryError as error:
            gallery, problems = None, problems | {"gallery": str(error)}
        admin = call.who.may(Role.ADMIN)
        file = services.file
        return SystemAnswer(
            version=streamd.__version__,
            ready=not problems,
            problems=problems,
            processes=[_process(child, scrape) for child in status.children],
            gallery=gallery,
            figures=_figures(scrape),
            versions={"python": platform.python_version()} | _versions(),
            accelerator=_accelerator(scrape),
            config_file=str(file.path) if admin and file else None,
            may_edit=bool(admin and file and file.writable),
        )

    return [Operation("GET", "/api/v1/system", "How the daemon is", show, answer=SystemAnswer, tags=("system",))]


def _gallery(store: GalleryStore) -> GalleryAnswer:
    strangers = StrangerRecords(store.database).all()
    return GalleryAnswer(
        people=len(store.people()),
        faces=sum(store.faces_by_model().values()),
        unknowns=sum(stranger.state == "open" and stranger.sightings > 1 for stranger in strangers),
        version=store.version(),
    )


def _process(child: ChildStatus, scrape: Scrape) -> ProcessAnswer:
    def sample(name: str) -> float | None:
        return scrape.by(name, "process").get(child.name)

    return ProcessAnswer(
        name=child.name,
        state=child.state,
        pid=child.pid,
        restarts=child.restarts,
        for_s=round(child.for_s, 1),
        trouble=child.trouble,
        cpu_s=sample("streamd_process_cpu_seconds_total"),
        memory_bytes=sample("streamd_process_resident_bytes"),
    )


def _figures(scrape: Scrape) -> Figures:
    (age_s,) = scrape.quantiles("streamd_frame_age_seconds", (0.95,))
    (identity_s,) = scrape.quantiles("streamd_time_to_identity_seconds", (0.5,))
    return Figures(
        frame_age_p95_s=age_s,
        time_to_identity_p50_s=identity_s,
        events_total=scrape.total("streamd_events_total"),
        viewers=scrape.total("streamd_viewers"),
        disk_free_bytes=_bytes(scrape, "streamd_disk_free_bytes"),
        state_bytes=_bytes(scrape, "streamd_state_bytes"),
    )


def _bytes(scrape: Scrape, name: str) -> int | None:
    """None until it was measured."""
    return round(scrape.total(name)) if scrape.samples.get(name) else None


def _versions() -> dict[str, str]:
    found = {}
    for name in (*_LIBRARIES, "onnxruntime-gpu", "openvino"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _accelerator(scrape: Scrape) -> str | None:
    """The providers in use, as the workers say."""
    used = {
        f"{row.get('provider', '?')}"
        for labels, value in scrape.samples.get("streamd_accelerator_info", {}).items()
        if value and (row := dict(labels))
    }
    return ", ".join(sorted(used)) or None
