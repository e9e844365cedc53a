"""What a subscriber costs that reads nothing: ``PYTHONPATH=tests python tests/bench/silent_subscriber.py [SECONDS]``.

A real publisher gets a hundred events a second; one subscriber never reads, and then goes on where it stood.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from publisherprocess import PublisherProcess, an_event

from streamd.client import Subscription
from streamd.sockets import Sockets
from streamd.verdicts import VerdictSender


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as scratch, PublisherProcess(Path(scratch)) as publisher, Sockets() as sockets:
        sender = VerdictSender(sockets, publisher.verdicts, worker="w")
        sender.send(an_event(0))
        assert sender.flush(20.0)
        with Subscription(publish=publisher.publish, replay=publisher.replay, since=0) as silent:
            assert silent.next(10.0) is not None
            resident, number = [publisher.resident_bytes()], 1
            end_s = time.monotonic() + seconds
            sample_s = time.monotonic() + seconds / 10
            while time.monotonic() < end_s:
                sender.send(an_event(number))
                sender.pump(time.monotonic())
                number += 1
                if time.monotonic() >= sample_s:
                    sample_s += seconds / 10
                    resident.append(publisher.resident_bytes())
                threading.Event().wait(0.01)
            assert sender.flush(20.0)
            last = publisher.last_seq()
            started_s = time.monotonic()
            seqs = [1]
            while seqs[-1] < last and (event := silent.next(10.0)) is not None:
                seqs.append(event.seq)
            took_s = time.monotonic() - started_s
        print(
            json.dumps(
                {
                    "events": last,
                    "seconds": seconds,
                    "resident_mb": [round(value / 1e6, 1) for value in resident],
                    "caught_up_in_s": round(took_s, 2),
                    "exact": seqs == list(range(1, last + 1)),
                }
            )
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 600.0)
