"""``streamd events --sinks`` and ``--redeliver``: how far deliveries are, and what was put aside."""

from __future__ import annotations

import json
from collections import Counter

from streamd.config import Config
from streamd.deliveries import Deliveries
from streamd.errors import UsageError
from streamd.journal import Journal


def show_sinks(config: Config, *, as_json: bool) -> int:
    """A line per sink, and one per event that it refused."""
    if not config.sinks:
        raise UsageError("there are no sinks in the configuration")
    last = 0
    if config.journal_file.exists():
        with Journal(config.journal_file, read_only=True) as journal:
            last = journal.last_seq
    with Deliveries(config.deliveries_file) as deliveries:
        places, aside = deliveries.places(), deliveries.aside()
    refused = Counter(put.sink for put in aside)
    rows = [
        {
            "sink": name,
            "kind": sink.kind,
            "seq": places.get(name),
            "behind": None if name not in places else last - places[name],
            "refused": refused[name],
        }
        for name, sink in config.sinks.items()
    ]
    if as_json:
        print(json.dumps({"sinks": rows, "refused": [put._asdict() for put in aside]}))
        return 0
    print(f"{'sink':<16}{'kind':<10}{'at':>10}{'behind':>10}{'refused':>10}")
    for row in rows:
        at, behind = ("-" if row[key] is None else row[key] for key in ("seq", "behind"))
        print(f"{row['sink']:<16}{row['kind']:<10}{at!s:>10}{behind!s:>10}{row['refused']:>10}")
    for put in aside:
        print(f"{put.at}  {put.sink}  #{put.seq}: {put.reason}")
    return 0


def redeliver(config: Config, sink: str, *, as_json: bool) -> int:
    """Ask for refused events to be sent again; the running daemon does."""
    if sink not in config.sinks:
        raise UsageError(f"there is no sink {sink!r}; there are: {', '.join(config.sinks) or 'none'}")
    with Deliveries(config.deliveries_file) as deliveries:
        count = deliveries.send_again(sink)
    print(json.dumps({"sink": sink, "events": count}) if as_json else f"{count} events are sent to {sink} again")
    return 0
