"""The doctor on Python and the libraries: which there are, whether they load, and which exclude each other."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import streamd
from streamd.commands.finding import Finding, Level
from streamd.config import Config

LIBRARIES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "av": "av",
    "cv2": "opencv-python-headless",
    "hnswlib": "hnswlib",
    "zmq": "pyzmq",
    "aiohttp": "aiohttp",
    "prometheus_client": "prometheus-client",
    "pydantic": "pydantic",
}
"""Module to the package that brings it."""
IMPORT_TIMEOUT_S = 60
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")

_CONFLICT = re.compile(
    r"(?P<who>\S+) \S+ (?:has requirement (?P<wanted>[^,]+(?:,[^,]+)*), but you have .*"
    r"|requires (?P<missing>\S+), which is not installed.*)"
)

Version = Callable[[str], str | None]


def libraries(config: Config) -> Iterator[Finding]:
    """Versions, loadability, and the pairs that must not meet."""
    yield Finding(Level.OK, "python", f"{platform.python_version()}, streamd {streamd.__version__}")
    yield from _loading(installed)
    yield from runtimes(installed, has_gpu=_NVIDIA_DRIVER.exists())
    yield from opencvs(installed)
    yield from conflicts(_pip_check())


def installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def runtimes(version_of: Version, *, has_gpu: bool) -> Iterator[Finding]:
    """Exactly one onnxruntime: both wheels install the same directory, and the later one wins."""
    cpu, gpu = version_of("onnxruntime"), version_of("onnxruntime-gpu")
    again = "pip uninstall -y onnxruntime onnxruntime-gpu; then pip install 'streamd[cpu]' or 'streamd[gpu]'"
    if cpu and gpu:
        yield Finding(
            Level.FAIL, "onnxruntime", f"onnxruntime {cpu} and onnxruntime-gpu {gpu} overwrite each other", again
        )
    elif not cpu and not gpu:
        yield Finding(Level.FAIL, "onnxruntime", "not installed", "pip install 'streamd[cpu]', or 'streamd[gpu]'")
    elif gpu and not has_gpu:
        yield Finding(Level.WARN, "onnxruntime", f"onnxruntime-gpu {gpu}, but no NVIDIA driver is loaded", again)
    elif cpu and has_gpu:
        yield Finding(Level.WARN, "onnxruntime", f"{cpu} for the CPU, although there is an NVIDIA GPU", again)
    else:
        yield Finding(Level.OK, "onnxruntime", f"onnxruntime-gpu {gpu}" if gpu else f"onnxruntime {cpu}, CPU")


def opencvs(version_of: Version) -> Iterator[Finding]:
    """More than one OpenCV wheel breaks cv2."""
    names = ("opencv-python-headless", "opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")
    there = [name for name in names if version_of(name)]
    if len(there) > 1:
        advice = f"pip uninstall -y {' '.join(there)}; then pip install opencv-python-headless"
        yield Finding(Level.FAIL, "opencv", f"{' and '.join(there)} overwrite each other", advice)


def conflicts(said: str | None) -> Iterator[Finding]:
    """Libraries whose versions do not fit together, as ``pip check`` said; None where there is no pip."""
    for line in (said or "").splitlines():
        if found := _CONFLICT.match(line):
            wanted = found["wanted"] or found["missing"]
            ours = found["who"].lower() in {"streamd", *LIBRARIES.values(), "aiortc", "onnxruntime", "onnxruntime-gpu"}
            level = Level.FAIL if ours else Level.WARN
            yield Finding(level, "versions", line.rstrip("."), f"pip install '{wanted}'")


def _pip_check() -> str | None:
    try:
        command = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=IMPORT_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None


def _loading(version_of: Version) -> Iterator[Finding]:
    missing = [package for package in LIBRARIES.values() if not version_of(package)]
    for package in missing:
        yield Finding(Level.FAIL, "libraries", f"{package} is not installed", f"pip install {package}")
    modules = [module for module, package in LIBRARIES.items() if package not in missing]
    failures = {} if not loading_failure(modules) else {m: f for m in modules if (f := loading_failure([m]))}
    for module, failure in failures.items():
        advice = f"pip install --force-reinstall {LIBRARIES[module]}"
        yield Finding(Level.FAIL, "libraries", f"{module} does not load: {failure}", advice)
    if not missing and not failures:
        yield Finding(Level.OK, "libraries", ", ".join(f"{p} {version_of(p)}" for p in LIBRARIES.values()))


def loading_failure(modules: list[str]) -> str | None:
    """Why ``modules`` cannot be imported; in a process of its own, which code for another CPU may kill."""
    command = [sys.executable, "-c", f"import {', '.join(modules)}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=IMPORT_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return f"not within {IMPORT_TIMEOUT_S} s"
    if done.returncode < 0:
        return f"killed by signal {-done.returncode} (built for another processor?)"
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["failed"])[-1]
