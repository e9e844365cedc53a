"""The doctor on decoders in hardware: which could be used, and whether those that are asked for can."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from streamd.commands.finding import Finding, Level
from streamd.config import Config

Trouble = Callable[[str], str | None]


def decoders(config: Config) -> Iterator[Finding]:
    """One finding on what there is, and one for each kind that a camera asks for in vain."""
    from streamd.sources.acceleration import kinds, trouble

    yield from decoder_findings(config, kinds(), trouble)


def decoder_findings(config: Config, kinds: list[str], trouble: Trouble) -> Iterator[Finding]:
    present = [kind for kind in kinds if trouble(kind) is None]
    built = f"PyAV is built for {', '.join(kinds) or 'none'}"
    yield Finding(Level.OK, "hardware decoders", f"{', '.join(present) or 'none answers'} ({built})")
    wanted = {camera.capture.hwaccel: name for name, camera in config.cameras.items()}
    for kind, camera in wanted.items():
        if kind not in ("none", "auto") and (missing := trouble(kind)):
            advice = "set hwaccel: none, or auto; or install its driver"
            yield Finding(Level.FAIL, "hardware decoders", f"camera {camera}: hwaccel {kind}: {missing}", advice)
