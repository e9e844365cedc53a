"""``streamd gallery export | import | backup | rekey | new-key``: the gallery as a file, and its key."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from streamd.errors import ExitCode, GalleryError, UsageError

if TYPE_CHECKING:
    from streamd.config import Config
    from streamd.gallery.store import GalleryStore


def add_arguments(
    exporting: argparse.ArgumentParser,
    importing: argparse.ArgumentParser,
    backup: argparse.ArgumentParser,
    rekey: argparse.ArgumentParser,
    new_key: argparse.ArgumentParser,
) -> None:
    for parser in (exporting, importing, backup, new_key):
        parser.add_argument("file", type=Path, metavar="FILE")
    importing.add_argument("--merge", action="store_true", help="add to the people who are here already")
    importing.add_argument("--trust", action="append", default=[], metavar="KEY", help="take archives of this signer")
    importing.add_argument("--key-file", type=Path, metavar="FILE", help="key of the archive, where it is another one")
    target = rekey.add_mutually_exclusive_group(required=True)
    target.add_argument("--to", type=Path, metavar="FILE", help="key from now on")
    target.add_argument("--plain", action="store_true", help="no encryption from now on")


def export(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.gallery.archive import export_gallery
    from streamd.gallery.signing import Signer

    contents = export_gallery(store, args.file, Signer.of(config.state_dir))
    if args.json:
        print(json.dumps({"file": str(args.file)} | asdict(contents)))
    else:
        print(f"{args.file}: {contents.people} people, {contents.faces} faces, version {contents.gallery_version}")
        print(f"signed by {contents.signer}")
        print("the faces in it are encrypted" if contents.encrypted else "the faces in it are NOT encrypted")
    return ExitCode.OK


def import_(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.gallery.archive import opened_archive
    from streamd.gallery.importer import import_people
    from streamd.gallery.signing import Signer
    from streamd.gallery.vault import load_vault

    trusted = {Signer.of(config.state_dir).public_key, *(key.lower() for key in args.trust)}
    vault = load_vault(args.key_file) if args.key_file else store.database.vault
    with opened_archive(args.file, config.state_dir, trusted=trusted, vault=vault) as (contents, inside):
        imported = import_people(store, inside, merge=args.merge)
    if args.json:
        print(json.dumps({"file": str(args.file), "signer": contents.signer} | asdict(imported)))
    else:
        known = f", {imported.known} were here already" if imported.known else ""
        print(f"{imported.people} people added, {imported.merged} merged, {imported.faces} faces{known}")
    return ExitCode.OK


def backup(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.gallery.archive import publish, scratch_beside

    with scratch_beside(args.file) as scratch:
        store.database.copy_to(scratch / "backup")
        publish(scratch / "backup", args.file)
    size = args.file.stat().st_size
    if args.json:
        print(json.dumps({"file": str(args.file), "bytes": size, "gallery_version": store.version()}))
    else:
        print(f"{args.file}: {size / 1e6:.1f} MB; to restore it, stop streamd, and then:")
        log = [f"{store.path}-wal", f"{store.path}-shm"]  # as a power cut leaves it, it would damage what is restored
        print(f"  {shlex.join(['rm', '-f', *log])} && {shlex.join(['cp', str(args.file), str(store.path)])}")
    return ExitCode.OK


def rekey(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.gallery.savedindex import drop_saved
    from streamd.gallery.vault import load_vault

    vault = load_vault(args.to)
    if vault is None and store.database.vault is None:
        raise UsageError("the gallery is not encrypted")
    faces = store.database.reseal(vault)
    drop_saved(store.path)
    erased = store.database.erase_free_space()
    if args.json:
        print(json.dumps({"faces": faces, "encrypted": vault is not None, "erased": erased}))
        return ExitCode.OK
    print(f"{faces} faces {'encrypted' if vault else 'decrypted'}")
    print(f"now set gallery.key_file: {args.to.absolute()}" if vault else "now remove gallery.key_file")
    print("and restart streamd if it runs")
    if not erased:
        print("another process was reading: its log is emptied with the next change")
    return ExitCode.OK


def reindex(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    """Drop what is saved and build it again; the answers of a running daemon go on."""
    from streamd.gallery.live import LiveGallery
    from streamd.gallery.savedindex import drop_saved, index_files

    dropped = drop_saved(store.path)
    for model_id in store.faces_by_model():
        with LiveGallery(store.path, model_id=model_id, config=config.gallery) as gallery:
            gallery.await_build()
    files = [str(path) for path in index_files(store.path)]
    if args.json:
        print(json.dumps({"dropped": dropped, "saved": files}))
    else:
        print("\n".join(files) or "so few faces are compared one by one: nothing to save")
    return ExitCode.OK


def new_key(args: argparse.Namespace) -> int:
    from streamd.gallery.vault import write_new_key

    write_new_key(args.file)
    print(f"{args.file}  keep a copy elsewhere: without it the faces cannot be read")
    return ExitCode.OK


def sync(args: argparse.Namespace, store: GalleryStore, config: Config) -> int:
    from streamd.forgetting import daemon_runs
    from streamd.sharing import sharing_of

    if config.gallery.kind == "local":
        raise UsageError("the gallery is not shared: gallery.kind is local")
    sharing = sharing_of(store, config, final=not daemon_runs(config))
    try:
        done = sharing.step()
    except GalleryError as error:
        waiting = sharing.mirror.unsent_count()
        raise GalleryError(f"{error}; {waiting} changes wait here") from error
    finally:
        sharing.close()
    if args.json:
        print(json.dumps(asdict(done)))
    else:
        print(f"{done.sent} records sent, {done.received} received, {done.forgotten} people forgotten elsewhere")
    return ExitCode.OK
