"""``python -m streamd.demo FOLDER``: models, faces and clips, with progress; what ``streamd run --demo`` calls."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from streamd.config import Config
from streamd.demo.setup import GATEWAY, prepare_demo
from streamd.errors import ExitCode, StreamdError
from streamd.vision.catalog import DEFAULT_MODELS
from streamd.vision.modelstore import pull
from streamd.vision.progress import terminal_progress


def main(folder: Path) -> int:
    started_s = time.monotonic()
    progress = terminal_progress()
    models = Config().models_path
    try:
        pull(DEFAULT_MODELS, models, progress=progress)
        path = prepare_demo(folder, models=models, fetched=progress, rendered=_rendered if progress else None)
    except StreamdError as error:
        sys.stderr.write(f"streamd run --demo: {error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"streamd run --demo: {error.filename or folder}: {(error.strerror or str(error)).lower()}\n")
        return ExitCode.UNAVAILABLE
    except KeyboardInterrupt:
        return 130
    sys.stderr.write(f"demonstration ready after {time.monotonic() - started_s:.0f} s: {path}\n")
    sys.stderr.write(f"the page, in a moment: http://{GATEWAY}/ (Ctrl-C ends it all)\n")
    return 0


def _rendered(name: str, done: int, total: int) -> None:
    end = "\n" if done == total else ""
    sys.stderr.write(f"\r\x1b[Kfilming {name}: {done / total:4.0%}{end}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
