"""Libraries that report to their makers unless they are told not to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tinymodel import write_mean_model

SESSION = "from streamd.vision.engines import onnxruntime as o; o().InferenceSession({model!r}, providers=[{cpu!r}])"
DOCTOR = "from streamd.commands.provider_checks import installed_placements as p; assert p()"
TOOLS = "from streamd.vision import half; from pathlib import Path; half.converted(Path({model!r}))"


@pytest.mark.parametrize("program", [SESSION, DOCTOR, TOOLS], ids=["session", "doctor", "tools"])
def test_onnxruntime_reports_nothing_and_keeps_no_id_of_the_machine(program: str, tmp_path: Path) -> None:
    model = str(write_mean_model(tmp_path / "tiny.onnx"))
    home = tmp_path / "home"
    home.mkdir()
    places = {name: str(home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    env = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"} | places
    filled_in = program.format(model=model, cpu="CPUExecutionProvider")
    said = f"{filled_in}; import os, sys; print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], env=env, capture_output=True, text=True, timeout=100)
    assert done.stdout.split() == ["1", "True"], done.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []
