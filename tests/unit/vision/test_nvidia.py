"""NVIDIA's libraries where there are none, and their memory given by a stand-in for CUDA's runtime."""

from __future__ import annotations

import ctypes
import gc
import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from streamd.vision import nvidia


class Runtime:
    """CUDA's functions for page-locked memory, on the heap."""

    def __init__(self, failing: int = 0) -> None:
        self.libc = ctypes.CDLL(None)
        self.libc.malloc.restype = ctypes.c_void_p
        self.libc.malloc.argtypes = (ctypes.c_size_t,)
        self.failing = failing
        self.device = -1
        self.freed: list[int | None] = []

    def cudaSetDevice(self, number: int) -> int:  # CUDA's names
        self.device = number
        return 0

    def cudaHostAlloc(self, pointer: Any, size: int, flags: int) -> int:
        pointer._obj.value = self.libc.malloc(size)
        return self.failing

    def cudaFreeHost(self, pointer: ctypes.c_void_p) -> int:
        self.freed.append(pointer.value)
        return 0

    def cudaGetErrorString(self, code: int) -> bytes:
        return b"out of memory"


def test_page_locked_memory_is_that_of_cuda_and_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = Runtime()
    monkeypatch.setattr(nvidia, "cuda_runtime", lambda: runtime)
    array = nvidia.page_locked((2, 3), np.float32, 1)
    assert array is not None
    assert runtime.device == 1
    array[:] = np.arange(6).reshape(2, 3)
    kept = array[1:].copy()
    address = array.ctypes.data
    assert runtime.freed == []
    del array
    gc.collect()
    assert runtime.freed == [address]
    np.testing.assert_array_equal(kept, [[3, 4, 5]])


def test_an_array_of_nothing_is_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "cuda_runtime", lambda: Runtime())
    array = nvidia.page_locked((0, 4), np.float32, 0)
    assert array is not None
    assert array.shape == (0, 4)


def test_where_cuda_has_none_to_give_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "cuda_runtime", lambda: Runtime(failing=2))
    assert nvidia.page_locked((2, 3), np.float32, 0) is None
    monkeypatch.setattr(nvidia, "cuda_runtime", lambda: None)
    assert nvidia.page_locked((2, 3), np.float32, 0) is None


def test_a_library_that_is_missing_is_named(tmp_path: Path) -> None:
    runtime: Any = SimpleNamespace(__file__=str(tmp_path / "onnxruntime" / "__init__.py"))
    assert "libonnxruntime_providers_shared.so" in nvidia.trouble(runtime, 0, tensorrt=False)


def test_libraries_are_loaded_from_wherever_pip_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Any library will do, under the name of one that is looked for.
    some = next(Path(sysconfig.get_config_var("DESTSHARED")).glob("_*.so"))
    for folder in ("here", "there"):
        (tmp_path / folder / "nvidia" / "cu99" / "lib").mkdir(parents=True)
    shutil.copy(some, tmp_path / "there" / "nvidia" / "cu99" / "lib" / "libcublasLt.so.99")
    for folder in ("here", "there"):
        monkeypatch.syspath_prepend(str(tmp_path / folder))
    runtime: Any = SimpleNamespace(cuda_version="99.1")
    nvidia.preload.__wrapped__(runtime)
    assert str(tmp_path / "there/nvidia/cu99/lib/libcublasLt.so.99") in nvidia._loaded("libcublasLt.so")
