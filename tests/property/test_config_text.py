"""Whatever a configuration file holds, it loads or it is refused with a place: nothing else is raised."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.config import CameraConfig, Config
from streamd.configfile import load_text
from streamd.configmanual import manual
from streamd.errors import ConfigError, ConfigProblem
from streamd.substitution import expand

MANUAL = manual().encode()
KEYS = st.sampled_from([*Config.model_fields, *CameraConfig.model_fields, "threshold", "<<", "x y", "count", "listen"])
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["rtsp://u:pw@h:1/x", "tcp://0.0.0.0:1", "${X}", "~", "~root", "a: b", "1:30"]),
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def problems(text: str) -> tuple[ConfigProblem, ...] | None:
    try:
        load_text(text, file="s.yaml", base=Path("/srv"))
    except ConfigError as error:
        return error.problems
    return None


def load_or_refuse(text: str) -> None:
    found = problems(text)
    assert found is None or found
    for problem in found or ():
        assert problem.message
        assert "\n" not in problem.message


@given(st.text(max_size=200))
def test_any_text_loads_or_is_refused(text: str) -> None:
    load_or_refuse(text)


@given(st.text(alphabet=" \n\t:-[]{}#&*!|>'\"%@`,?<$ab1.", max_size=80))
def test_any_punctuation_loads_or_is_refused(text: str) -> None:
    load_or_refuse(text)


@given(st.dictionaries(KEYS, TREES, max_size=5))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_any_tree_loads_or_is_refused(tree: dict[str, object]) -> None:
    import yaml

    load_or_refuse(yaml.safe_dump(tree, allow_unicode=True))


@given(st.integers(0, len(MANUAL) - 1), st.binary(min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_a_damaged_manual_loads_or_is_refused(at: int, garbage: bytes) -> None:
    load_or_refuse((MANUAL[:at] + garbage + MANUAL[at + len(garbage) :]).decode(errors="replace"))


@given(st.text(alphabet=st.characters(exclude_characters="$", exclude_categories=["Cs"])))
def test_doubled_dollars_come_out_single(text: str) -> None:
    assert expand(f"$${text}$$", {}) == f"${text}$"


@given(st.text(), st.text())
def test_what_a_variable_holds_is_not_expanded_again(before: str, value: str) -> None:
    plain = before.replace("$", "")
    assert expand(f"{plain}${{X}}", {"X": value}) == plain + value
