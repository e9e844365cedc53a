"""A capture's pictures for those who watch: converted when the gateway asks, and only then."""

from __future__ import annotations

from streamd.domain import FrameId, Yuv420
from streamd.interfaces import DecodedFrame
from streamd.masking import Mask
from streamd.sockets import Socket
from streamd.viewlink import CaptureViews, View, Want

FULL = Want(width=1 << 14, pixels=1 << 28)


class Showing:
    """What a capture does for the gateway. Recognition comes first: ``answer`` is called after the worker has been
    served."""

    def __init__(self, socket: Socket, camera: str, epoch: str, mask: Mask) -> None:
        self.socket = socket
        self._link = CaptureViews(socket, camera)
        self._camera = camera
        self._epoch = epoch
        self._mask = mask

    @property
    def sent(self) -> int:
        """Pictures handed over so far."""
        return self._link.sent

    @property
    def awaits_frame(self) -> bool:
        """Whether the next frame is wanted as soon as it is there."""
        return self._link.want is not None

    def smooth(self, now_s: float) -> bool:
        """Whether somebody watches who would see frames missing."""
        return self._link.smooth(now_s)

    def answer(self, frame: DecodedFrame | None, seq: int, now_s: float, *, trouble: str | None) -> None:
        """Give what is asked for.

        Args:
            frame: the newest, whether or not the worker had it.
            trouble: why there is none, for people; None where one is to come.
        """
        link = self._link
        link.hear(now_s)
        if link.want is None and not link.whole_wanted:
            return
        if trouble is not None:
            for whole in (False, True):
                if link.whole_wanted if whole else link.want:
                    link.nothing(trouble, whole=whole)
        elif frame is not None:
            if link.whole_wanted:
                picture = frame.yuv420() or frame.small420(*FULL.fitted(frame.image_size))
                link.send(self._view(frame, seq, picture, whole=True))
            if link.want is not None and not link.has(self._epoch, seq):
                picture = frame.small420(*link.want.fitted(frame.image_size))
                link.send(self._view(frame, seq, picture))

    def _view(self, frame: DecodedFrame, seq: int, picture: Yuv420, *, whole: bool = False) -> View:
        return View(
            id=FrameId(self._camera, self._epoch, seq),
            captured_at_s=frame.captured_at_s,
            captured_wall_s=frame.captured_wall_s,
            full_size=frame.size,
            picture=self._mask.on_yuv420(picture),
            whole=whole,
        )
