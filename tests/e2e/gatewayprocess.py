"""A gateway's own process, on a folder that tests have filled."""

from __future__ import annotations

import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from e2e.daemon import eventually, free_ports
from gatewayparts import Box


class GatewayProcess:
    """``streamd gateway``, by hand: without a supervisor."""

    def __init__(self, folder: Path, **gateway: Any) -> None:
        (self.port,) = free_ports(1)
        self.url = f"{'https' if 'certificate' in gateway else 'http'}://127.0.0.1:{self.port}"
        self.box = Box(folder, listen=f"127.0.0.1:{self.port}", **gateway)
        self.log = folder / "log.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> GatewayProcess:
        command = [sys.executable, "-m", "streamd", "gateway", "-c", str(self.box.file)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stderr=log, stdout=log)
        eventually(self.answers, what="the gateway listens")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait(20)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def answers(self) -> bool:
        try:
            self.get("/static/none")
        except OSError:
            return False
        return True

    def _trusting(self) -> ssl.SSLContext | None:
        """Tests sign their certificates themselves."""
        if not self.url.startswith("https"):
            return None
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10, context=self._trusting()) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
