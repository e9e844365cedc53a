"""The spread of impostor similarities that a calibration found, kept in the gallery file per embedding model."""

from __future__ import annotations

import json

from streamd.gallery import rows
from streamd.gallery.database import Database
from streamd.scores import Spread

CALIBRATED = "gallery.calibrated"


def save_spread(database: Database, model_id: str, spread: Spread) -> None:
    """Keep what was found; a change like any other, which running workers take over."""
    value = json.dumps({"mean": spread.mean, "std": spread.std})
    with database.write() as connection:
        connection.execute("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", (_key(model_id), value))
        rows.log_change(connection, CALIBRATED, "", f"{model_id}: mean {spread.mean:.4f}, std {spread.std:.4f}")


def drop_spread(database: Database, model_id: str) -> bool:
    """Go back to the embedder's own; False where nothing was kept."""
    with database.write() as connection:
        gone = connection.execute("DELETE FROM settings WHERE key = ?", (_key(model_id),)).rowcount > 0
        if gone:
            rows.log_change(connection, CALIBRATED, "", f"{model_id}: reset")
        return gone


def saved_spread(database: Database, model_id: str) -> Spread | None:
    """What the last calibration of this model found, if there was one."""
    with database.read() as connection:
        row = connection.execute("SELECT value FROM settings WHERE key = ?", (_key(model_id),)).fetchone()
    if row is None:
        return None
    value = json.loads(row[0])
    return Spread(float(value["mean"]), float(value["std"]))


def _key(model_id: str) -> str:
    return f"impostor:{model_id}"
