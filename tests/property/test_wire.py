import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from streamd.control import SystemStatus
from streamd.errors import ProtocolError
from streamd.wire import Header, decode, encode

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
names = st.text(min_size=1).filter(lambda n: n not in ("v", "kind"))


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_header_or_a_protocol_error(data: bytes) -> None:
    try:
        header = decode(data)
    except ProtocolError:
        return
    assert isinstance(header, Header)


@given(json_values)
def test_any_json_is_a_header_or_a_protocol_error(value: object) -> None:
    import json

    try:
        header = decode(json.dumps(value).encode())
    except ProtocolError:
        return
    assert isinstance(header.kind, str)


@given(st.text(), st.dictionaries(names.filter(str.isidentifier), json_values, max_size=5))
def test_a_header_survives_the_wire(kind: str, fields: dict[str, object]) -> None:
    assert decode(encode(kind, **fields)) == Header(kind, fields)


@given(json_values)
@example(10**400)
def test_fields_of_the_wrong_type_are_protocol_errors(value: object) -> None:
    header = decode(encode("X", f=value))
    for getter in (header.text, header.integer, header.number, header.flag, header.pair):
        try:
            getter("f")
        except ProtocolError:
            continue
    with pytest.raises(ProtocolError):
        header.text("absent")


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_any_parts_are_a_status_or_a_protocol_error(parts: list[bytes]) -> None:
    try:
        SystemStatus.from_parts(parts)
    except ProtocolError:
        return


def test_header_of_another_version_names_both_versions() -> None:
    with pytest.raises(ProtocolError, match="version 2: this program speaks 1"):
        decode(b'{"v":2,"kind":"READY"}')
