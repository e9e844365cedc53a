from __future__ import annotations

import json
from pathlib import Path

import pytest
from galleryparts import COLOUR_DIM, GREEN, RED, face, unit, write_photo

from streamd.cli import main
from streamd.commands.finding import Level
from streamd.commands.scope_checks import scopes
from streamd.configfile import load_config
from streamd.gallery.store import GalleryStore

Output = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("state")


@pytest.fixture
def config(state: Path) -> Path:
    return state.parent / "streamd.yaml"


@pytest.fixture
def store(tmp_path: Path) -> GalleryStore:
    """Anna at hq in two groups, Bert at the depot, Cleo without labels."""
    with GalleryStore(tmp_path / "state" / "gallery.sqlite") as opened:
        for number, name in enumerate(("Anna", "Bert", "Cleo")):
            opened.add_faces(name, [face(unit(number, COLOUR_DIM), f"photo:{number}")])
        opened.label("Anna", [("site", "hq"), ("group", "night-shift"), ("group", "first aid")])
        opened.label("Bert", [("site", "depot")])
    return opened


def said(capsys: Output, *args: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    capsys.readouterr()
    code = main([str(a) for a in args])
    return code, *capsys.readouterr()


def test_enrolling_gives_the_labels(capsys: Output, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "anna.png", RED)
    code, out, _ = said(capsys, "enroll", "Anna", photo, "--label", "site=hq", "--label", "group=night-shift")
    assert code == 0
    assert out.splitlines()[-1] == "Anna: 1 of 1 photo enrolled, site=hq, group=night-shift"
    person = json.loads(said(capsys, "person", "show", "Anna", "--json")[1])
    assert person["labels"] == {"group": ["night-shift"], "site": ["hq"]}


def test_enrolling_again_adds_labels(capsys: Output, tmp_path: Path) -> None:
    said(capsys, "enroll", "Anna", write_photo(tmp_path / "1.png", RED), "--label", "site=hq")
    said(capsys, "enroll", "Anna", write_photo(tmp_path / "2.png", RED, seed=3), "--label", "group=day")
    person = json.loads(said(capsys, "person", "show", "Anna", "--json")[1])
    assert person["labels"] == {"group": ["day"], "site": ["hq"]}


@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_without_an_accepted_photo_or_in_a_dry_run_nobody_is_labelled(
    capsys: Output, tmp_path: Path, store: GalleryStore, option: list[str]
) -> None:
    photo = write_photo(tmp_path / "bert.png", GREEN) if option else tmp_path / "none.png"
    said(capsys, "enroll", *option, "Bert", photo, "--label", "site=moon")
    assert json.loads(said(capsys, "person", "show", "Bert", "--json")[1])["labels"] == {"site": ["depot"]}


def test_a_wrong_label_is_exit_64_before_anything_is_enrolled(capsys: Output, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "anna.png", RED)
    code, _, err = said(capsys, "enroll", "Anna", photo, "--label", "Site=hq")
    assert (code, "label key 'Site'" in err) == (64, True)
    assert said(capsys, "person", "list", "--json")[1].strip() == "[]"


def test_a_person_is_given_labels_and_loses_them(capsys: Output, store: GalleryStore) -> None:
    assert said(capsys, "person", "label", "Cleo", "site=hq", "group=day")[:2] == (0, "Cleo: group=day, site=hq\n")
    code, out, _ = said(capsys, "person", "label", "Cleo", "site=depot", "--remove", "site", "--remove", "group=day")
    assert (code, out) == (0, "Cleo: site=depot\n")
    assert said(capsys, "person", "label", "Cleo", "--remove", "site")[1] == "Cleo: no labels\n"
    body = json.loads(said(capsys, "person", "label", "Cleo", "site=hq", "--json")[1])
    assert body == {"person": "Cleo", "labels": {"site": ["hq"]}}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["Cleo"], 64, "nothing to do"),
        (["Cleo", "hq"], 64, "label 'hq' is not KEY=VALUE"),
        (["Cleo", "--remove", "site"], 69, "'Cleo' has no label 'site'; they have: no labels"),
        (["Dora", "site=hq"], 69, "there is no person 'Dora'"),
    ],
)
def test_what_cannot_be_labelled_is_said(
    capsys: Output, store: GalleryStore, arguments: list[str], code: int, words: str
) -> None:
    found, out, err = said(capsys, "person", "label", *arguments)
    assert (found, out) == (code, "")
    assert words in err


def test_labels_are_listed_and_list_only_some(capsys: Output, store: GalleryStore) -> None:
    lines = said(capsys, "person", "list")[1].splitlines()
    assert lines[0].endswith("  group=first aid, group=night-shift, site=hq")
    assert lines[2] == lines[2].rstrip()
    some = json.loads(said(capsys, "person", "list", "--json", "--label", "site=hq", "--label", "site=depot")[1])
    assert [(p["name"], p["labels"]["site"]) for p in some] == [("Anna", ["hq"]), ("Bert", ["depot"])]
    assert said(capsys, "person", "list", "--label", "site=moon")[1] == "nobody has site=moon\n"


def test_the_gallerys_status_counts_labels(capsys: Output, store: GalleryStore) -> None:
    assert "labels   group=first aid (1), group=night-shift (1), site=depot (1), site=hq (1)" in (
        said(capsys, "gallery", "status")[1].splitlines()
    )


def test_the_log_tells_of_labels(capsys: Output, store: GalleryStore) -> None:
    last = said(capsys, "gallery", "log")[1].splitlines()[-1]
    assert last.split()[2:] == ["person.labelled", "Bert", "+site=depot"]


CAMERAS = (
    "state_dir: state\ncameras:\n  a: {url: a.mp4, search: {site: hq}}\n  b: {url: a.mp4, search: {site: attic}}\n"
)


def test_a_scope_that_fits_nobody_is_warned_of(capsys: Output, config: Path, store: GalleryStore) -> None:
    config.write_text(CAMERAS)
    code, out, err = said(capsys, "check", "--only-config")
    assert (code, out) == (0, f"{config}: ok, 2 cameras\n")
    assert err == (
        "warning: cameras.b.search: nobody in the gallery fits site=attic; "
        "labels in use: group=first aid, group=night-shift, site=depot, site=hq\n"
    )
    assert len(json.loads(said(capsys, "check", "--only-config", "--json")[1])["warnings"]) == 1


def test_the_doctor_counts_whom_a_scope_fits(config: Path, store: GalleryStore) -> None:
    config.write_text(CAMERAS)
    findings = list(scopes(load_config(None)))
    assert [(f.topic, f.level) for f in findings] == [
        ("cameras.a.search", Level.OK),
        ("cameras.b.search", Level.WARN),
    ]
    assert findings[0].message == "site=hq fits 1 person"


def test_checking_scopes_makes_no_gallery(capsys: Output, config: Path) -> None:
    config.write_text(CAMERAS)
    assert said(capsys, "check") == (0, f"{config}: ok, 2 cameras\n", "")
    assert not (config.parent / "state").exists()


def test_a_gallery_that_cannot_be_read_does_not_fail_the_check_of_the_file(capsys: Output, config: Path) -> None:
    config.write_text(CAMERAS)
    (config.parent / "state").mkdir()
    (config.parent / "state" / "gallery.sqlite").write_bytes(b"x" * 5000)
    code, _, err = said(capsys, "check", "--only-config")
    assert code == 0
    assert "warning: search scopes not compared with the labels in use" in err


def test_a_cameras_scope_is_laid_over_the_one_for_all(config: Path) -> None:
    config.write_text(
        "search: {group: staff}\n"
        "cameras:\n"
        "  a: {url: a.mp4, search: {site: [hq, depot]}}\n"
        "  b: {url: a.mp4, search: {group: []}}\n"
        "  c: {url: a.mp4}\n"
    )
    cameras = load_config(None).cameras
    assert cameras["a"].search == {"group": ("staff",), "site": ("hq", "depot")}
    assert cameras["b"].search == {"group": ()}
    assert cameras["c"].search == {"group": ("staff",)}


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{Site: hq}", "cameras.a.search.Site: a label's key should be"),
        ("{site: 5}", "cameras.a.search.site: should be a text of 1 to 80 characters"),
        ("{site: [hq, '']}", "cameras.a.search.site: should be a text"),
        ("[hq]", "cameras.a.search: should hold 'key: value' lines"),
    ],
)
def test_a_scope_that_cannot_be_is_said_with_its_place(capsys: Output, config: Path, written: str, words: str) -> None:
    config.write_text(f"cameras:\n  a:\n    url: a.mp4\n    search: {written}\n")
    code, _, err = said(capsys, "check")
    assert code == 78
    assert f"{config}:4:" in err
    assert words in err
