"""Searches of a shared gallery that its server answers, while it does."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from streamd.config import GalleryConfig
from streamd.domain import Match
from streamd.errors import GalleryError
from streamd.gallery.hub import Hub, Near, open_hub
from streamd.gallery.mirror import Mirror

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

ANSWER_WITHIN_S = 0.25
"""A server that takes longer is away."""
RETRY_S = 5.0
_MOST_FACES = 200


class ServerAnswers:
    """One thread searches, another connects."""

    def __init__(self, mirror: Mirror, config: GalleryConfig, model_id: str) -> None:
        self._mirror = mirror
        self._config = config
        self._model_id = model_id
        self._hub: Hub | None = None
        self._due_s = 0.0

    def connect(self) -> None:
        """Connect where there is no connection and it is time to try; may take seconds."""
        if self._hub is not None or time.monotonic() < self._due_s:
            return
        try:
            self._hub = open_hub(self._config, timeout_s=ANSWER_WITHIN_S)
        except GalleryError as error:
            logger.debug("the gallery's server does not answer searches: %s", error)
            self._due_s = time.monotonic() + RETRY_S

    def search(self, probes: NDArray[np.float32], people: int, names: Mapping[str, str]) -> list[list[Match]] | None:
        """For each unit row the ``people`` nearest people, best first; None where the server does not answer."""
        hub = self._hub
        if hub is None:
            return None
        try:
            found = self._nearest(hub, probes, people)
            known = self._mirror.here({near.uid for hits in found for near in hits})
        except GalleryError as error:  # the server's, or of the box's own file, which somebody may be writing for long
            logger.warning("the gallery's server does not answer searches, the box does: %s", error)
            self._hub, self._due_s = None, time.monotonic() + RETRY_S
            hub.close()
            return None
        return [
            [
                Match(near.person, names[near.person], near.similarity, known[near.uid])
                for near in hits
                # What this box has not heard of yet cannot be named.
                if near.uid in known and near.person in names
            ][:people]
            for hits in found
        ]

    def close(self) -> None:
        if self._hub is not None:
            self._hub.close()

    def _nearest(self, hub: Hub, probes: NDArray[np.float32], people: int) -> list[list[Near]]:
        """Each person's nearest face; more faces are asked for until there are enough people."""
        count = 8 * people
        while True:
            found = hub.nearest(self._model_id, probes, count)
            firsts = [_first_of_each(hits) for hits in found]
            complete = all(len(first) > people or len(hits) < count for first, hits in zip(firsts, found, strict=True))
            if complete or count >= _MOST_FACES:
                return firsts
            count = min(_MOST_FACES, 4 * count)


def _first_of_each(hits: Sequence[Near]) -> list[Near]:
    best: dict[str, Near] = {}
    for near in hits:
        best.setdefault(near.person, near)
    return list(best.values())
