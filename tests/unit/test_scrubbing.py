from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.scrubbing import Scrubber, secrets_in

NAMES = ["Ann Smith", "Jörg Müller-Lüdenscheid", "Bo"]


@pytest.mark.parametrize(
    "text",
    [
        "Ann Smith came",
        "gallery folder: Ann Smith/IMG_1.jpg enrolled, quality 0.91",
        "gallery folder: refused (too_small): ann_smith.jpg",
        "who is SMITH?",
        "GET /api/v1/people/Ann%20Smith",
        json.dumps({"message": "Jörg Müller-Lüdenscheid left"}),
        "GET /people/J%C3%B6rg%20M%C3%BCller-L%C3%BCdenscheid",
        "J\u006f\u0308rg in two characters",
        "Lüdenscheid alone",
    ],
)
def test_no_word_of_a_name_is_left(text: str) -> None:
    told = Scrubber(names=NAMES).text(text).casefold()
    for word in ("ann", "smith", "jörg", "j\\u00f6rg", "müller", "denscheid", "j\u006f\u0308rg"):
        assert word not in told, told
    assert "***" in told or "person-" in told


def test_one_person_has_one_stand_in_and_other_words_stay() -> None:
    scrubber = Scrubber(names=NAMES)
    assert scrubber.text("Ann Smith, then ANN again; annex, blacksmith; Bo") == (
        "person-1, then person-1 again; annex, blacksmith; person-2"
    )


def test_people_who_may_be_forgotten_are_not_told_of() -> None:
    told = Scrubber().text(
        "gallery folder: 'Bob' became 'Rob'\nDELETE /api/v1/people/Bob from ::1: nobody is called 'Bob'\nnext line\n"
        'gallery folder: Bob Miller/holiday with bob.jpg enrolled\n{"message": "PUT /api/v1/people/Bob failed", "n": 1}'
    )
    assert "Bob" not in told
    assert "Rob" not in told
    assert "next line" in told
    assert '"n": 1' in told


def test_secrets_are_hidden_wherever_they_stand() -> None:
    config = {
        "cameras": {
            "door": {"url": "rtsp://viewer:hunter%232@192.0.2.1/user=admin_password=geheim_channel=1?key=abcd1234"}
        },
        "sinks": {
            "hook": {"secret": "s3cr3t-hook", "headers": {"X-Key": "header-key"}, "command": ["curl", "--secret9"]}
        },
        "gallery": {"dsn": "postgresql://db:pgpass99@h/d"},
    }
    hidden = set(secrets_in(config))
    assert {"hunter#2", "hunter%232", "s3cr3t-hook", "header-key", "--secret9"} <= hidden
    text = Scrubber(secrets=hidden).text(" / ".join(sorted(hidden)) + json.dumps(config))
    for secret in ("hunter", "geheim", "abcd1234", "s3cr3t", "header-key", "secret9", "pgpass99"):
        assert secret not in text
    assert "192.0.2.1" in text


def test_headers_tokens_and_hashes_are_hidden_without_being_known() -> None:
    text = "Authorization: Bearer sd_abcdefghijklmnop; scrypt:14:aaaa:bbbb sha256:" + "0" * 64
    told = Scrubber().text(text)
    assert [secret for secret in ("sd_abc", "aaaa", "bbbb", "0" * 64) if secret in told] == []


def test_a_configuration_keeps_its_shape() -> None:
    raw = {
        "state_dir": "/home/ann/state",
        "cameras": {"ann-door": {"url": "rtsp://viewer:${PW}@192.0.2.1/main", "detection": {"min_face_px": 40}}},
        "gateway": {"users": {"ann": {"password": "scrypt:14:a:b", "role": "admin"}}},
        "sinks": {"x": {"kind": "webhook", "url": "https://h/x", "secret": "pssst"}},
        "events": {"retention_days": 30},
    }
    assert Scrubber(names=["Ann Smith"], home="/home/ann").tree(raw) == {
        "state_dir": "~/state",
        "cameras": {"person-1-door": {"url": "rtsp://***@192.0.2.1/main", "detection": {"min_face_px": 40}}},
        "gateway": {"users": {"person-1": {"password": "***", "role": "admin"}}},
        "sinks": {"x": {"kind": "webhook", "url": "https://h/x", "secret": "***"}},
        "events": {"retention_days": 30},
    }


@given(st.text(min_size=4, max_size=30).filter(lambda t: t.strip() == t), st.text(max_size=40), st.text(max_size=40))
def test_a_secret_of_any_characters_is_hidden(secret: str, before: str, after: str) -> None:
    told = Scrubber(secrets=[secret]).text(before + secret + after)
    assert secret not in told or secret in before + after or secret in "***"


@given(st.text(max_size=300))
def test_any_text_is_scrubbed_in_a_moment(text: str) -> None:
    Scrubber(names=NAMES, secrets=["geheim"], home="/home/ann").text(text)
