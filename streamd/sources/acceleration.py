"""Decoders in hardware: which there are, and the one that a camera is told to use."""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from typing import cast

import av
from av.codec.hwaccel import HWAccel, hwdevices_available
from av.video.codeccontext import VideoCodecContext

from streamd.errors import SourceRejected
from streamd.sources.failures import FAILURES

logger = logging.getLogger(__name__)

PREFERRED = ("cuda", "vaapi", "qsv", "vulkan", "videotoolbox")
"""The order in which ``auto`` tries them."""
PROBED = "h264"
"""Every device that decodes cameras decodes this."""
_PICTURE = bytes.fromhex(
    "000000016742c00bdc204684000003000400000300ca3c50ae0000000168ce0fc8000000016588843a27272727272727275d75d75d75d7"
    "5d75d75d75d75d75d75d75d78000000001650422210e89c9c9c9c9c9c9c9d75d75d75d75d75d75d75d75d75d75d75d75e0"
)
"""A grey picture of 128x128 in H.264, made with x264."""


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
        context = _opened(kind)
    except FAILURES as error:
        return f"no device answers, or its driver is missing ({_reason(error)})"
    if not context.is_hwaccel:
        return f"this PyAV has no {PROBED} decoder for it"
    try:
        pictures = [*context.decode(av.Packet(_PICTURE)), *context.decode(None)]
    except (*FAILURES, RuntimeError) as error:
        # As in a container that was given the GPU for computing alone.
        return f"it answers, but decodes nothing ({_reason(error)}): its driver's video libraries may be missing"
    return None if pictures else "it answers, but decodes nothing"


def _opened(kind: str) -> VideoCodecContext:
    context = av.CodecContext.create(PROBED, "r", hwaccel=HWAccel(kind, allow_software_fallback=False))
    return cast("VideoCodecContext", context)


def _reason(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number).lower() if number and 0 < number < 200 else type(error).__name__
