"""Everything that is to be known of streamd on a GPU, in one run of at most ten minutes. See README.md beside it.

Each step is a process of its own with a time-out, so that one that fails, hangs or crashes hides none of the others; a
step that has no time left is skipped and says so. Exit codes: 0, 1 something that must hold does not, 69 no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
NEEDED = (
    "numpy",
    "cv2",
    "av",
    "zmq",
    "pydantic",
    "yaml",
    "onnx",
    "onnxruntime",
    "prometheus_client",
    "aiohttp",
    "scipy",
)
MODES = ("cpu", "cuda", "cuda-graphs", "cuda-fp16", "tensorrt", "tensorrt-fp16")
LEAST_COSINE, MOST_OFF = 0.999, 0.02
LEAST_S = 10.0
"""A step with less time than this left is skipped."""


@dataclass(slots=True)
class Result:
    step: str
    state: str
    """``ok``, ``FAIL`` (it must hold), ``no`` (it may), ``skipped``."""
    detail: str
    took_s: float = 0.0


@dataclass(slots=True)
class Check:
    """One run."""

    models: Path
    demo: Path
    until_s: float
    gpus: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    def add(self, step: str, state: str, detail: str, took_s: float = 0.0) -> None:
        self.results.append(Result(step, state, " ".join(detail.split()), took_s))
        print(f"{state:8} {step}: {self.results[-1].detail[:300]}", flush=True)

    def hold(self, step: str, holds: bool, detail: str, *, must: bool = True) -> None:
        self.add(step, "ok" if holds else "FAIL" if must else "no", detail)

    def run(
        self, step: str, command: list[str], *, limit_s: float, env: Mapping[str, str] | None = None
    ) -> Done | None:
        """A process with its output; None, and noted, where there is no time for it or it took too long."""
        left_s = self.until_s - time.monotonic()
        if left_s < LEAST_S:
            self.add(step, "skipped", "no time left")
            return None
        started_s = time.monotonic()
        done = _run(command, limit_s=min(limit_s, left_s), env=env)
        if done.code is None:
            self.add(step, "FAIL", f"not done after {done.took_s:.0f} s: {_last(done.err)}", done.took_s)
            return None
        done.took_s = time.monotonic() - started_s
        return done


@dataclass(slots=True)
class Done:
    code: int | None
    """None: it took too long, and was killed."""
    out: str
    err: str
    took_s: float = 0.0

    def body(self) -> dict[str, Any] | None:
        """The JSON that it printed last."""
        try:
            found = json.loads(self.out.strip().splitlines()[-1])
        except (ValueError, IndexError):
            return None
        return found if isinstance(found, dict) else None


def main() -> int:
    args = _arguments()
    check = Check(args.models, args.demo, time.monotonic() + args.budget_s)
    environment(check)
    steps = [
        lambda: models(check),
        lambda: networks(check, ("yunet", "sface"), MODES[:4]),
        lambda: refusals(check),
        lambda: unit_tests(check),
        lambda: pipeline(check),
        lambda: decoders(check),
        lambda: networks(check, ("yunet", "sface"), MODES[4:]),
        lambda: second_start(check),
        lambda: several(check),
        lambda: networks(check, _others(args.models), MODES[1:4]),
    ]
    for step in steps:
        try:
            step()
        except Exception as error:  # noqa: BLE001  # the other steps have more to say
            check.add("this script", "FAIL", f"{type(error).__name__}: {error}")
    text = "\n".join(report(check))
    print("\n" + text)
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        (args.out / "table.txt").write_text(text + "\n")
        (args.out / "measured.json").write_text(json.dumps(check.measured, indent=1))
    return verdict(check)


def environment(check: Check) -> None:
    """What is here, and at once what is missing."""
    smi = _run(
        ["nvidia-smi", "--query-gpu=name,memory.total,driver_version,compute_cap", "--format=csv,noheader"], limit_s=30
    )
    check.gpus = [line.strip() for line in smi.out.splitlines() if line.strip()] if smi.code == 0 else []
    check.hold("nvidia-smi", bool(check.gpus), "; ".join(check.gpus) or _last(smi.err or smi.out), must=False)
    check.add("python", "ok", f"{sys.version.split()[0]} at {sys.executable}")
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    check.hold("packages", not missing, f"missing: {', '.join(missing)} (README.md: wheelhouse)" if missing else "all")
    wanted = ("onnxruntime-gpu", "onnxruntime", "nvidia-cudnn-cu13", "nvidia-cudnn-cu12", "tensorrt-cu13-libs")
    found = {name: version for name in wanted if (version := _version(name))}
    check.add("versions", "ok", ", ".join(f"{name} {version}" for name, version in found.items()) or "none")
    done = check.run("providers", [sys.executable, "-c", _PROVIDERS], limit_s=60)
    if done is not None:
        check.hold("providers", "CUDA" in done.out, done.out or _last(done.err), must=bool(check.gpus))


_PROVIDERS = """
import logging, onnxruntime
from streamd.vision import nvidia
nvidia.preload(onnxruntime)
names = ('libcudart', 'libcublas.', 'libcudnn.', 'libnvinfer.')
loaded = [path for name in names for path in nvidia._loaded(name)]
print(onnxruntime.__version__, onnxruntime.get_available_providers(), 'loaded:', ' '.join(loaded) or 'nothing')
"""


def models(check: Check) -> None:
    missing = [name for name in ("yunet", "sface") if not (check.models / f"{name}.onnx").exists()]
    if missing:
        check.run("models pull", [sys.executable, "-m", "streamd", "models", "pull", *missing], limit_s=60)
        missing = [name for name in missing if not (check.models / f"{name}.onnx").exists()]
    check.hold("models", not missing, f"missing: {missing} in {check.models}" if missing else str(check.models))


def networks(check: Check, names: tuple[str, ...], modes: tuple[str, ...]) -> None:
    """Each network on each provider: opened, compared with the CPU, timed, shared by threads."""
    for mode in modes:
        for name in names:
            network(check, name, mode)


def network(check: Check, name: str, mode: str, *, device: int = 0) -> None:
    step = f"{name} {mode}" + (f" cuda:{device}" if device else "")
    command = [sys.executable, str(HERE / "inference.py"), str(check.models), name, mode, "--device", str(device)]
    seconds = "8" if mode == "cpu" else "15"
    done = check.run(step, [*command, "--seconds", seconds], limit_s=150 if "tensorrt" in mode else 60)
    if done is None:
        return
    found = done.body()
    if found is None:
        check.add(step, "FAIL", f"exit code {done.code}: {_last(done.err)}", done.took_s)
        return
    check.measured[step] = found
    if "refused" in found:
        # TensorRT may be missing; CUDA may not, where there is a GPU.
        check.hold(step, not check.gpus or "tensorrt" in mode, f"refused: {found['refused']}")
        return
    cosine, off, rows = found["least_cosine"], found["worst"], found["rows"]
    agrees = off is not None and (cosine >= LEAST_COSINE if cosine is not None else off <= MOST_OFF)
    stays = all(row["stays"] for row in rows)
    shared = found.get("threads_agree")
    where = found["provider"] == mode.replace("-graphs", "") and (mode == "cpu" or shared is True)
    check.hold(
        step,
        agrees and stays and where,
        f"{found['provider']}, opened in {found['open_s']:.1f} s, off by {off:.2g} of the largest, "
        f"cosine {cosine if cosine is None else round(cosine, 6)}, same again: {stays}, threads agree: {shared}, "
        f"page-locked: {found['page_locked']}, recorded: {found['records']}, nodes: {found['nodes']}, "
        f"GPU memory {found.get('memory_mb')} MB",
    )


def refusals(check: Check) -> None:
    """A GPU that is not there is never replaced by the CPU without a word."""
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    path = check.models / "sface.onnx"
    cases: list[tuple[str, str, Mapping[str, str], str]] = [
        ("cuda:7 is refused", "device='cuda:7'", {}, "ModelError"),
        ("a hidden GPU is refused", "device='cuda:0'", hidden, "ModelError"),
        ("allow_cpu goes on and says so", "device='cuda:7', allow_cpu=True", {}, "cpu"),
        ("auto takes the CPU without a GPU", "device='auto'", hidden, "cpu"),
        ("auto takes the GPU", "device='auto'", {}, "cuda" if check.gpus else "cpu"),
    ]
    for step, keywords, env, wanted in cases:
        code = _REFUSAL.format(path=str(path), keywords=keywords)
        done = check.run(step, [sys.executable, "-c", code], limit_s=60, env=env)
        if done is not None:
            said = done.out.strip() or f"exit code {done.code}: {_last(done.err)}"
            warned = "cannot be used" in done.err if "allow_cpu" in keywords else True
            check.hold(step, said.startswith(wanted) and warned, said)


_REFUSAL = """
import logging
logging.basicConfig(level=logging.WARNING)
from pathlib import Path
from streamd.errors import ModelError
from streamd.vision.onnx import open_session
try:
    print(open_session(Path({path!r}), {keywords}).provider)
except ModelError as error:
    print('ModelError', error)
"""


def unit_tests(check: Check) -> None:
    if importlib.util.find_spec("pytest") is None:
        check.add("unit tests", "skipped", "pytest is not installed")
        return
    vision = ROOT / "tests" / "unit" / "vision"
    files = [str(HERE / "test_on_gpu.py"), *(str(vision / f"test_{name}.py") for name in ("onnx", "gpu", "nvidia"))]
    # Not the project's own options: they ask for plugins that may be missing here.
    options = [
        "-q",
        "-rs",
        "-c",
        os.devnull,
        "--rootdir",
        str(ROOT),
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
    ]
    env = {"STREAMD_TEST_MODELS": str(check.models), "STREAMD_TEST_FACES": str(check.demo / "faces")}
    done = check.run("unit tests", [sys.executable, "-m", "pytest", *options, *files], limit_s=180, env=env)
    if done is not None:
        check.hold("unit tests", done.code == 0, _last(done.out) + (_failures(done.out) if done.code else ""))


def pipeline(check: Check) -> None:
    """The whole daemon with sixteen cameras, on the GPU and, for comparison, on the CPU."""
    if check.gpus:
        _pipeline(check, "pipeline, 16 cameras, cuda:0", "workers.device=cuda:0")
        _pipeline(check, "pipeline, 16 cameras, cuda:0, graphs", "workers.device=cuda:0", "workers.cuda_graphs=true")
        _pipeline(check, "pipeline, 16 cameras, cpu", "workers.device=cpu")


def _pipeline(check: Check, step: str, *settings: str) -> None:
    command = [sys.executable, "-m", "streamd", "bench", "pipeline", "--json", "--cameras", "16", "--seconds", "20"]
    sets = [part for setting in settings for part in ("--set", setting)]
    done = check.run(step, [*command, *sets, "--demo-dir", str(check.demo)], limit_s=150, env=_config(check))
    if done is None:
        return
    found = done.body()
    if done.code or found is None:
        check.add(step, "FAIL", f"exit code {done.code}: {_last(done.err)}", done.took_s)
        return
    check.measured[step] = found
    keys = ("looked_at_per_camera_second", "frame_age_p95_s", "time_to_identity_p95_s", "cpu_seconds_per_camera_second")
    detail = ", ".join(f"{key} {found[key]}" for key in keys)
    check.hold(step, bool(found["identified"]) and not found["restarts"], f"identified {found['identified']}, {detail}")


def decoders(check: Check) -> None:
    """The GPU's own decoder gives the CPU's pictures; and the whole daemon with it."""
    for codec in ("libx264", "libx265") if check.gpus else ():
        step = f"decoding {codec} on cuda"
        done = check.run(step, [sys.executable, str(HERE / "decoding.py"), "cuda", codec], limit_s=60)
        if done is None:
            continue
        found = done.body() or {"failed": f"exit code {done.code}: {_last(done.err)}"}
        check.measured[step] = found
        # A driver without the video libraries, as in many containers, is no fault of the daemon's.
        without = "refused" in found or "skipped" in found
        check.hold(step, bool(found.get("same")), json.dumps(found), must=not without)
    if check.measured.get("decoding libx264 on cuda", {}).get("same"):
        _pipeline(check, "pipeline, 16 cameras, cuda:0, decoding too", "workers.device=cuda:0", "capture.hwaccel=cuda")


def second_start(check: Check) -> None:
    """TensorRT's engines are there already."""
    for name in ("yunet", "sface"):
        for mode in MODES[4:]:
            first = check.measured.get(f"{name} {mode}", {}).get("open_s")
            if first is None:
                continue
            step = f"{name} {mode}, second start"
            command = [sys.executable, str(HERE / "inference.py"), str(check.models), name, mode, "--open-only"]
            done = check.run(step, command, limit_s=120)
            again = (done.body() or {}).get("open_s") if done is not None else None
            if again is not None:
                check.hold(step, again < max(20.0, first / 2), f"{again:.1f} s, the first {first:.1f} s")


def several(check: Check) -> None:
    """The second GPU, and a worker on each."""
    if len(check.gpus) < 2:
        check.add("several GPUs", "skipped", f"there are {len(check.gpus)}")
        return
    network(check, "sface", "cuda", device=1)
    _pipeline(check, "pipeline, 16 cameras, two GPUs", "workers.device=[cuda:0, cuda:1]")


def report(check: Check) -> Iterator[str]:
    """The tables."""
    head = ("network", "view", "batch", "ms", "ms/one", "one/s", "in turn", "plain ms", "off", "cosine", "first s")
    yield "{:22} {:>8} {:>5} {:>8} {:>7} {:>7} {:>8} {:>9} {:>8} {:>9} {:>7}".format(*head)
    for step, found in check.measured.items():
        for row in found.get("rows", ()):
            ms, plain, cosine = row["ms"], row.get("plain_ms"), row["cosine"]
            yield (
                f"{step:22} {row['view']:>8} {row['batch']:5} {ms:8.2f} {ms / row['batch']:7.3f} "
                f"{1000 * row['batch'] / ms:7.0f} {row['in_turn_ms']:8.2f} "
                f"{'' if plain is None else f'{plain:.2f}':>9} {row['off']:8.1e} "
                f"{'' if cosine is None else f'{cosine:.6f}':>9} {row['first_s']:7.2f}"
            )
    yield ""
    for result in check.results:
        yield f"{result.state:8} {result.step:34} {result.detail[:400]}"
    counts = {state: sum(r.state == state for r in check.results) for state in ("ok", "FAIL", "no", "skipped")}
    yield ""
    yield ", ".join(f"{count} {state}" for state, count in counts.items())
    if not check.gpus:
        yield "no GPU: checked up to the provider's own refusal"


def verdict(check: Check) -> int:
    if any(result.state == "FAIL" for result in check.results):
        return 1
    return 0 if check.gpus else 69


def _others(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in ("ssd", "centerface") if (folder / f"{name}.onnx").exists())


def _config(check: Check) -> dict[str, str]:
    """A configuration for the commands that look for one."""
    file = Path(tempfile.gettempdir()) / f"streamd-check-{os.getpid()}.yaml"
    file.write_text(f"models_dir: {json.dumps(str(check.models))}\n")
    return {"STREAMD_CONFIG": str(file)}


def _run(command: list[str], *, limit_s: float, env: Mapping[str, str] | None = None) -> Done:
    """In a group of its own, which is killed as a whole."""
    if shutil.which(command[0]) is None:
        return Done(127, "", f"{command[0]} is not here")
    paths = [str(ROOT), str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])]
    full = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1", **(env or {})}
    started_s = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=full, start_new_session=True, cwd=ROOT
    )
    try:
        out, err = process.communicate(timeout=limit_s)
        return Done(process.returncode, out, err, time.monotonic() - started_s)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        return Done(None, out, err, time.monotonic() - started_s)


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return " | ".join(lines[-2:]) if lines else "it said nothing"


def _failures(text: str) -> str:
    return " " + " ".join(line for line in text.splitlines() if line.startswith(("FAILED", "ERROR")))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _arguments() -> argparse.Namespace:
    state = Path.home() / ".local" / "state" / "streamd"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=state / "models", help="folder of prepared models")
    parser.add_argument("--demo", type=Path, default=state / "demo", help="folder of the demonstration's faces")
    parser.add_argument("--budget-s", type=float, default=560.0, help="time for all steps (560)")
    parser.add_argument("--out", type=Path, help="folder for table.txt and measured.json")
    args = parser.parse_args()
    args.models, args.demo = args.models.absolute(), args.demo.absolute()
    return args


if __name__ == "__main__":
    sys.exit(main())
