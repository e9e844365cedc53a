from __future__ import annotations

import io

from streamd.vision.progress import telling, terminal_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nobody_is_told_where_there_is_no_terminal() -> None:
    assert terminal_progress(io.StringIO()) is None


def test_the_line_is_rewritten_and_ends_with_the_file() -> None:
    out = Terminal()
    progress = terminal_progress(out)
    assert progress is not None
    for done in (0, 1024 * 1024, 2 * 1024 * 1024):
        progress("sface", done, 2 * 1024 * 1024)
    shown = out.getvalue().split("\r\x1b[K")
    assert shown == ["", "sface:   0% of 2.0 MiB", "sface:  50% of 2.0 MiB", "sface: 100% of 2.0 MiB\n"]


def test_the_same_text_is_not_written_twice() -> None:
    out = Terminal()
    progress = terminal_progress(out)
    assert progress is not None
    progress("sface", 0, None)
    progress("sface", 0, None)
    assert out.getvalue().count("sface") == 1


def test_a_missing_listener_is_no_error() -> None:
    telling(None, "sface")(1, 2)
