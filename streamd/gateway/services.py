"""What the gateway's operations work with, and how they get at it without holding up the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from streamd.access import Who
from streamd.config import WHIP_URL, CameraConfig, Config
from streamd.configediting import Change, ConfigFile
from streamd.control import SystemStatus
from streamd.errors import ConfigError, UnavailableError
from streamd.gateway.chores import Chores
from streamd.gateway.gatekeeper import Gatekeeper
from streamd.gateway.operations import Refused
from streamd.gateway.supervisorclient import SupervisorClient

if TYPE_CHECKING:
    from streamd.gallery.store import GalleryStore
    from streamd.journal import Journal

logger = logging.getLogger(__name__)

RELOAD_S = 5.0
"""How long a changed configuration may take until the daemon has it."""
_AT_ONCE = 4
"""Operations that are inside the gallery or the journal at the same time."""

T = TypeVar("T")


class Services:
    """Belongs to the loop; blocking work goes into threads, few at a time."""

    def __init__(
        self,
        config: Config,
        *,
        file: ConfigFile | None,
        supervisor: SupervisorClient,
        gatekeeper: Gatekeeper,
        ask_reload: Callable[[], bool] = lambda: False,
    ) -> None:
        """
        Args:
            file: the daemon's configuration file; None where it is not known.
            ask_reload: has the supervisor read it anew; False where it cannot be asked.
        """
        self.config = config
        self.file = file
        self.supervisor = supervisor
        self.gatekeeper = gatekeeper
        self.chores = Chores(config)
        self._ask_reload = ask_reload
        self._threads = asyncio.Semaphore(_AT_ONCE)
        self._reloading: asyncio.Future[str | None] | None = None
        self._editing = asyncio.Lock()

    async def gallery(self, who: Who, work: Callable[[GalleryStore], T]) -> T:
        """``work`` on the gallery, in a thread; what it changes is noted under the name of ``who``."""

        def run() -> T:
            from streamd.gallery.opening import open_store

            with open_store(self.config, actor=who.actor) as store:
                return work(store)

        return await self.thread(run)

    async def journal(self, work: Callable[[Journal], T]) -> T | None:
        """``work`` on the journal, in a thread; None where nothing was recorded yet."""

        def run() -> T | None:
            from streamd.journal import Journal

            if not self.config.journal_file.exists():
                return None
            with Journal(self.config.journal_file, read_only=True) as journal:
                return work(journal)

        return await self.thread(run)

    async def thread(self, work: Callable[[], T]) -> T:
        async with self._threads:
            return await asyncio.to_thread(work)

    async def status(self) -> SystemStatus:
        return await self.supervisor.status()

    # -- the configuration -----------------------------------------------------------------------------------------

    def adopt(self, config: Config) -> None:
        """The supervisor has taken over another configuration."""
        self.config = config
        self.chores.config = config
        self._look_at_file()

    def reload_answered(self, error: str | None) -> None:
        """The supervisor has read the file anew; ``error`` says why it keeps what it had."""
        if self._reloading is not None and not self._reloading.done():
            self._reloading.set_result(error)

    def _look_at_file(self) -> None:
        self.gatekeeper.cameras = {n: c for n, c in self.file_cameras().items() if c.url == WHIP_URL}

    def file_cameras(self) -> dict[str, CameraConfig]:
        """The cameras as the file has them, addresses included; those that run where it cannot be read."""
        if self.file is None:
            return dict(self.config.cameras)
        try:
            return dict(self.file.config().cameras)
        except ConfigError as error:
            logger.warning("%s", error)
            return dict(self.config.cameras)

    def camera(self, name: str) -> CameraConfig:
        """Raises Refused: there is no such camera."""
        found = self.file_cameras().get(name) or self.config.cameras.get(name)
        if found is None:
            raise Refused(404, "not_found", f"there is no camera {name[:80]!r}")
        return found

    async def edit(self, change: Change) -> None:
        """Change the configuration file, and have the daemon take it over.

        Raises:
            Refused: there is no file, or it may not be written.
            ConfigError: it would not be valid.
            UnavailableError: the daemon does not take it over.
        """
        if self.file is None:
            raise Refused(409, "conflict", "the daemon runs without a configuration file: there is nothing to change")
        if not self.file.writable:
            raise Refused(409, "conflict", f"{self.file.path} may not be written by the daemon: change it by hand")
        async with self._editing:
            self._reloading = asyncio.get_running_loop().create_future()
            await asyncio.to_thread(self.file.edit, change)
            self._look_at_file()
            if not self._ask_reload():
                raise UnavailableError("the file was changed, but the supervisor cannot be told: restart streamd")
            try:
                refused = await asyncio.wait_for(self._reloading, RELOAD_S)
            except TimeoutError as error:
                message = "the file was changed, but the daemon has not taken it over yet: its log says why"
                raise UnavailableError(message) from error
            if refused is not None:
                raise UnavailableError(f"the file was changed, but the daemon keeps what it had: {refused}")

    async def close(self) -> None:
        await self.chores.close()
        self.supervisor.close()
