"""Libraries that report to their makers unless they are kept from it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tinymodel import write_mean_model

PROGRAMS = {
    "session": "from streamd.vision.onnx import open_session; open_session(Path(model), device='cpu')",
    "openvino": "from streamd.vision.openvino import OpenVinoEngine as E; E(Path(model), threads=1, bf16=False)",
    "doctor": "from streamd.commands.provider_checks import installed_placements as p; assert p()",
    "tools": "from streamd.vision import half; half.converted(Path(model))",
    "a class of the user's own": "from streamd.cli import main; main(['keys', 'new', 'x', '--dir', '{folder}']); "
    "import openvino, onnxruntime as o; o.InferenceSession(model, providers=['CPUExecutionProvider'])",
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_no_library_reports_or_keeps_an_id_of_the_machine(program: str, tmp_path: Path) -> None:
    model = str(write_mean_model(tmp_path / "tiny.onnx"))
    home = tmp_path / "home"
    home.mkdir()
    # OpenVINO does not report from where tests run by themselves, as it takes these to say.
    unwanted = ("ORT_DISABLE_TELEMETRY", "CI", "TF_BUILD", "JENKINS_URL")
    env = {key: value for key, value in os.environ.items() if key not in unwanted}
    env |= {name: str(home) for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    program = PROGRAMS[program].replace("{folder}", str(tmp_path))
    text = f"from pathlib import Path; model = {model!r}; {program}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], env=env, capture_output=True, text=True, timeout=100)
    assert {"onnxruntime", "openvino"} & set(done.stdout.split()), done.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []
