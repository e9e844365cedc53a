"""Which children a configuration calls for, and what a new configuration changes about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamd.balancing import Weight, assign
from streamd.config import WHIP_URL, CameraConfig, Config
from streamd.workload import look_cost


@dataclass(frozen=True, slots=True)
class Spec:
    """What a child is to be: compared between two configurations to find what a reload must restart."""

    name: str
    role: str
    index: int
    config: Config
    live: frozenset[str] = frozenset()
    """Top-level sections that the running child takes over by RELOAD, without a restart; all take over ``log``."""

    def same_process(self, other: Spec) -> bool:
        """Whether a child of ``other`` can go on as this one, perhaps after a RELOAD."""
        # How many workers there are is taken over by RELOAD, too.
        exclude: dict[str, Any] = dict.fromkeys(self.live, True) | {"workers": {"count"}, "log": True}
        mine, theirs = self.config.model_dump(exclude=exclude), other.config.model_dump(exclude=exclude)
        return self.role == other.role and self.index == other.index and mine == theirs


def assignment(config: Config, *, kept: Mapping[str, int]) -> dict[str, int]:
    """Which worker looks after each camera; those of ``kept`` stay with theirs.

    Captures on other hosts find their worker at a port, so theirs follows from the configuration alone.
    """
    workers = config.workers.processes
    weights = {
        name: Weight(look_cost(camera), fixed=position % workers if camera.remote else None)
        for position, (name, camera) in enumerate(config.cameras.items())
    }
    return assign(weights, workers, kept=kept)


def specs(config: Config, *, workers: Mapping[str, int] | None = None, print_events: bool = False) -> list[Spec]:
    """Every child that a configuration calls for, each with only the part of it that concerns the child.

    ``workers``: of each camera; empty spreads them anew.
    """
    worker_of = assignment(config, kept={}) if workers is None else workers
    shared = {"state_dir", "runtime_dir", "models_dir", "supervision", "log"}
    found = [Spec("publisher", "publisher", 0, _slice(config, shared | {"events"}))]
    names = list(config.cameras)
    for index in range(config.workers.processes):
        mine = {name: _for_worker(camera) for name, camera in config.cameras.items() if worker_of[name] == index}
        part = _slice(config, shared | {"frames", "gallery", "recognition", "detection", "snapshots"})
        part = part.model_copy(update={"cameras": mine, "workers": config.workers.of(index)})
        found.append(Spec(f"worker@{index}", "worker", index, part, frozenset({"cameras"})))
    if config.sinks:
        part = _slice(config, shared | {"events", "sinks"})
        part = part.model_copy(update={"cameras": {name: CameraConfig(remote=True) for name in names}})
        found.append(Spec("courier", "courier", 0, part))
    if config.gateway.enabled:
        part = _slice(
            config, shared | {"gateway", "events", "gallery", "snapshots", "recognition", "detection", "workers"}
        )
        part = part.model_copy(update={"cameras": {n: _for_gateway(c) for n, c in config.cameras.items()}})
        found.append(Spec("gateway", "gateway", 0, part, frozenset({"cameras"})))
    for name, camera in config.cameras.items():
        if not camera.remote:
            part = _slice(config, shared).model_copy(update={"cameras": {name: _for_capture(camera)}})
            found.append(Spec(f"capture@{name}", "capture", worker_of[name], part))
    if print_events:
        found.append(Spec("printer", "printer", 0, _slice(config, shared | {"events"})))
    return found


def _slice(config: Config, sections: set[str]) -> Config:
    return Config.model_construct(
        **{name: getattr(config, name) for name in sections},
        **{
            name: f.get_default(call_default_factory=True)
            for name, f in Config.model_fields.items()
            if name not in sections
        },
    )


def _for_worker(camera: CameraConfig) -> CameraConfig:
    """Workers have no business with addresses and passwords, nor with how a camera is read."""
    return CameraConfig(
        remote=True,
        detection=camera.detection,
        tracking=camera.tracking,
        recognition=camera.recognition,
        search=camera.search,
        zones=camera.zones,
    )


def _for_gateway(camera: CameraConfig) -> CameraConfig:
    """The gateway must know which cameras there are, and which of them browsers send to, with what token; no address,
    and no password."""
    if camera.remote:
        return CameraConfig(remote=True)
    if camera.is_whip:
        return CameraConfig(url=WHIP_URL, whip_token=camera.whip_token)
    return CameraConfig(url="elsewhere")


def _for_capture(camera: CameraConfig) -> CameraConfig:
    """Captures need only the size of the image that the detector looks at, and what counts as motion."""
    mine = {key: getattr(camera.detection, key) for key in ("longer_side_px", "tiles", "motion_share")}
    detection = type(camera.detection)(**mine)
    return CameraConfig(
        url=camera.url,
        substream=camera.substream,
        capture=camera.capture,
        detection=detection,
        masks=camera.masks,
    )
