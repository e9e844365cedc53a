"""Decoders in hardware: which there are, and the one that a camera is told to use."""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass

import av
from av.codec.hwaccel import HWAccel, hwdevices_available

from streamd.errors import SourceRejected
from streamd.sources.failures import FAILURES

logger = logging.getLogger(__name__)

PREFERRED = ("cuda", "vaapi", "qsv", "vulkan", "videotoolbox")
"""The order in which ``auto`` tries them."""
PROBED = "h264"
"""Every device that decodes cameras decodes this."""


@dataclass(frozen=True, slots=True)
class Acceleration:
    """A kind of device that answered."""

    kind: str
    required: bool
    """Whether a stream that it cannot decode is refused; otherwise the CPU decodes that."""

    def device(self) -> HWAccel:
        """For one connection. Frames stay on the device until somebody looks at them."""
        return HWAccel(self.kind, allow_software_fallback=not self.required, is_hw_owned=True)


def acceleration(wanted: str, *, where: str) -> Acceleration | None:
    """What ``capture.hwaccel`` comes to on this host; None decodes on the CPU.

    Raises:
        SourceRejected: the device that was named is not there. The CPU is never taken in its place.
    """
    if wanted == "none":
        return None
    if wanted == "auto":
        return _first_present()
    if missing := trouble(wanted):
        raise SourceRejected(f"{where}: hwaccel {wanted}: {missing}: set hwaccel: none, or auto")
    return Acceleration(wanted, required=True)


@functools.cache
def _first_present() -> Acceleration | None:
    found = next((kind for kind in PREFERRED if trouble(kind) is None), None)
    logger.info("hwaccel auto: %s decodes", found or "no device answers, the CPU")
    return Acceleration(found, required=False) if found else None


def kinds() -> list[str]:
    """Kinds of devices that the FFmpeg inside PyAV was built with, whether or not one is there."""
    return list(hwdevices_available())


def trouble(kind: str) -> str | None:
    """Why a kind of device cannot decode here; None where it can."""
    if kind not in kinds():
        return f"this PyAV is built without it (it has {', '.join(kinds()) or 'none'})"
    try:
        context = av.codec.CodecContext.create(PROBED, "r", hwaccel=HWAccel(kind))
    except FAILURES as error:
        number = error.errno if isinstance(error, OSError) else None
        reason = os.strerror(number).lower() if number and 0 < number < 200 else type(error).__name__
        return f"no device answers, or its driver is missing ({reason})"
    return None if context.is_hwaccel else f"this PyAV has no {PROBED} decoder for it"
