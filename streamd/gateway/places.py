"""Places of those who watch or follow: so many in all, and no more than a share of them for one user. Pure."""

from __future__ import annotations

from collections import Counter

from streamd.errors import ViewersFull


class Places:
    """Nobody who logs in, and no token, can keep all others out: of the places they get three in four at most."""

    def __init__(self, most: int, *, bound: str) -> None:
        """``bound``: what sets how many there are, for people."""
        self._most = most
        self._bound = bound
        self._share = max(1, most * 3 // 4)
        self._held: Counter[str | None] = Counter()

    @property
    def taken(self) -> int:
        return self._held.total()

    def take(self, user: str | None) -> None:
        """``user`` is None where nobody logs in. Raises ViewersFull."""
        if self.taken >= self._most:
            raise ViewersFull(f"{self.taken} watch or follow already, as many as {self._bound} allows")
        if user is not None and self._held[user] >= self._share:
            raise ViewersFull(f"{user!r} has {self._share} places of {self._most} already; the rest is for others")
        self._held[user] += 1

    def leave(self, user: str | None) -> None:
        """Of somebody who took one."""
        self._held[user] -= 1
        if not self._held[user]:
            del self._held[user]
