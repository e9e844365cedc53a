"""NVIDIA's libraries: where pip puts them, what is missing of them, and memory that a GPU reaches directly."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import logging
import math
import weakref
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

logger = logging.getLogger(__name__)

_CUDA = ("libcudart.so.{}", "libnvrtc.so.{}", "libcublasLt.so.{}", "libcublas.so.{}")
"""By CUDA's version, in the order in which they need each other."""
_BESIDE = ("libcurand.so.10", "libcufft.so.1[12]", "libcudnn.so.9")
_TENSORRT = ("libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10")
_PORTABLE = 1
"""``cudaHostAllocPortable``: page-locked for every GPU."""


@cache
def preload(onnxruntime: ModuleType) -> None:
    """Load CUDA, cuDNN and TensorRT from pip's packages, which are not on the loader's path."""
    said = io.StringIO()
    load = getattr(onnxruntime, "preload_dlls", None)
    if load is not None:
        # It prints what it does not find, and standard output is somebody else's.
        with contextlib.redirect_stdout(said):
            load()
    for line in said.getvalue().splitlines():
        logger.debug("%s", line)
    # It looks beside itself alone, and packages may lie in several folders.
    major = str(getattr(onnxruntime, "cuda_version", "")).partition(".")[0] or "*"
    for name in (*(name.format(major) for name in _CUDA), *_BESIDE):
        _load_from("nvidia", f"*/lib/{name}")
    for name in _TENSORRT:
        _load_from("tensorrt_libs", name)


def _load_from(package: str, pattern: str) -> None:
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        for path in sorted(Path(folder).glob(pattern)):
            if not _loaded(path.name):  # a second copy would not know of the first one's devices
                with contextlib.suppress(OSError):
                    ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)


def _loaded(name: str) -> list[str]:
    """Files of that name, or that begin with it, which this process has loaded."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    paths = dict.fromkeys(fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6)
    return [path for path in paths if Path(path).name.startswith(name)]


def trouble(onnxruntime: ModuleType, number: int, *, tensorrt: bool) -> str:
    """Why this GPU cannot be used, looked for after onnxruntime fell back: itself it only logs the reason."""
    folder = Path(onnxruntime.__file__ or "").parent / "capi"
    names = ["libonnxruntime_providers_shared.so", "libonnxruntime_providers_cuda.so", "libcudnn.so.9"]
    for name in [*names, "libonnxruntime_providers_tensorrt.so"] if tensorrt else names:
        try:
            ctypes.CDLL(str(folder / name) if "providers" in name else name, mode=ctypes.RTLD_GLOBAL)
        except OSError as error:
            return f"{error}"
    runtime = cuda_runtime()
    if runtime is None:
        return "libcudart is not loaded"
    count = ctypes.c_int()
    if code := runtime.cudaGetDeviceCount(ctypes.byref(count)):
        return _text(runtime, code)
    return f"there are {count.value} GPUs" if number >= count.value else "onnxruntime gives no reason"


def cuda_runtime() -> Any | None:
    """The libcudart that this process has loaded already; None where there is none."""
    for path in _loaded("libcudart.so"):
        with contextlib.suppress(OSError):
            return _library(path)
    return None


@cache
def _library(path: str) -> Any:
    runtime = ctypes.CDLL(path)
    runtime.cudaGetErrorString.restype = ctypes.c_char_p
    runtime.cudaHostAlloc.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_uint)
    runtime.cudaFreeHost.argtypes = (ctypes.c_void_p,)
    runtime.cudaMemGetInfo.argtypes = (ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t))
    return runtime


def page_locked(shape: tuple[int, ...], dtype: DTypeLike, number: int) -> NDArray[Any] | None:
    """Memory of this host that GPU ``number`` reads and writes without a copy in between.

    onnxruntime's Python API gives out none for CUDA: it knows no such device type. None where CUDA's runtime has none
    to give either.
    """
    runtime = cuda_runtime()
    size = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
    pointer = ctypes.c_void_p()
    # Else the allocation would open a context on the first GPU, whichever is in use.
    if runtime is None or runtime.cudaSetDevice(number):
        return None
    if code := runtime.cudaHostAlloc(ctypes.byref(pointer), size, _PORTABLE):
        logger.info("no page-locked memory: %s", _text(runtime, code))
        return None
    memory = (ctypes.c_uint8 * size).from_address(pointer.value or 0)
    weakref.finalize(memory, runtime.cudaFreeHost, pointer).atexit = False  # CUDA may be gone by then
    count = math.prod(shape)
    found: NDArray[Any] = np.frombuffer(memoryview(memory), dtype, count=count).reshape(shape)
    return found


def memory_used_mb(number: int) -> float | None:
    """Of the whole GPU, by everyone; None where that cannot be told."""
    runtime = cuda_runtime()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    if runtime is None or runtime.cudaSetDevice(number):
        return None
    if runtime.cudaMemGetInfo(ctypes.byref(free), ctypes.byref(total)):
        return None
    return (total.value - free.value) / 1e6


def _text(runtime: Any, code: int) -> str:
    said = runtime.cudaGetErrorString(code)
    return f"CUDA error {code}: {said.decode(errors='replace') if said else 'unknown'}"
