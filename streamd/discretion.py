"""Libraries that report their use to their makers over the internet are kept from it."""

from __future__ import annotations

import os
import sys


def keep_to_ourselves() -> None:
    """To be called before anybody in this process loads onnxruntime or OpenVINO.

    Both report from the moment they are loaded, and keep an id of the machine: onnxruntime 1.32 unless this variable
    is set by then (its Privacy.md), OpenVINO 2026 unless it cannot find the package with which it does.
    """
    if not os.environ.get("ORT_DISABLE_TELEMETRY"):
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # what imports it is told: not there
