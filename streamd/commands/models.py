"""``streamd models``: what models there are, fetch them, look whether they are intact."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from streamd.commands import model_import, model_quantize
from streamd.commands.arguments import add_config_argument, add_json_argument
from streamd.errors import ExitCode, UsageError
from streamd.vision import runtimes
from streamd.vision.catalog import DEFAULT_MODELS, Manifest, catalogue
from streamd.vision.modelstore import ModelState, ModelStore, pull, verify
from streamd.vision.progress import terminal_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    _add_verb(verbs.add_parser("list", help="every model, its licence, and whether it is there"))
    fetching = verbs.add_parser("pull", help=f"fetch and prepare models (default: {' '.join(DEFAULT_MODELS)})")
    checking = verbs.add_parser("verify", help="compare files with their hashes (default: all that are there)")
    importing = verbs.add_parser("import", help="make a model of an ONNX file of your own")
    _add_verb(importing)
    model_import.add_arguments(importing)
    quantizing = verbs.add_parser("quantize", help="make an embedder's 8-bit form, and measure what it loses")
    _add_verb(quantizing)
    model_quantize.add_arguments(quantizing)
    for verb in (fetching, checking):
        _add_verb(verb)
        verb.add_argument("names", nargs="*", metavar="NAME", help="a model from 'streamd models list'")


def _add_verb(parser: argparse.ArgumentParser) -> None:
    add_config_argument(parser)
    add_json_argument(parser)
    parser.add_argument("--models-dir", type=Path, metavar="DIR", help="model files (default: the configuration's)")


def run(args: argparse.Namespace) -> int:
    folder = args.models_dir or _configured_folder(args.config, made=args.verb in ("pull", "import"))
    if args.verb == "import":
        return model_import.run(args, folder)
    if args.verb == "quantize":
        return model_quantize.run(args, folder)
    if args.verb == "list":
        return _list(folder, as_json=args.json)
    _refuse_unknown(args.names, folder)
    if args.verb == "pull":
        return _pull(args.names or list(DEFAULT_MODELS), folder, as_json=args.json)
    return _verify(args.names, folder, as_json=args.json)


def _configured_folder(file: Path | None, *, made: bool) -> Path:
    """``made``: something is to be written there."""
    from streamd.configfile import load_config

    config = load_config(file)
    if made and config.models_path.is_relative_to(config.state_dir):
        from streamd.statedir import private_state_dir

        private_state_dir(config)
    return config.models_path


def _refuse_unknown(names: list[str], folder: Path) -> None:
    known = catalogue(ModelStore(folder).manifests)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no model is called '{unknown[0]}'; there are: {', '.join(sorted(known))}")


def _list(folder: Path, *, as_json: bool) -> int:
    store = ModelStore(folder)
    states = [ModelState(m, store.problem(m)) for m in catalogue(store.manifests).values()]
    if as_json:
        print(json.dumps([_as_json(state) for state in states], indent=2))
        return ExitCode.OK
    width = max(len(state.manifest.name) for state in states) + 2
    for state in states:
        manifest = state.manifest
        there = "ready" if state.problem is None else "-"
        print(f"{manifest.name:<{width}}{manifest.kind:<10}{there:<7}{manifest.licence:<14}{manifest.summary}")
    return ExitCode.OK


def _pull(names: list[str], folder: Path, *, as_json: bool) -> int:
    states = []
    progress = terminal_progress()
    for name in names:
        states += pull([name], folder, progress)
        measured = _compare_runtimes(states[-1], folder)
        if not as_json:
            print(f"{name}: {'ready' if states[-1].changed else 'was there already'}{measured}", flush=True)
    if as_json:
        print(json.dumps([_as_json(state) for state in states], indent=2))
    return ExitCode.OK


def _compare_runtimes(state: ModelState, folder: Path) -> str:
    """Find the fastest runtime for a model, unless that is known already; in words, empty where there is no choice."""
    store = ModelStore(folder)
    path = store.prepared(state.manifest)
    if path.suffix != ".onnx":
        return ""
    measured = runtimes.read_record(path)
    if measured is None:
        measured = runtimes.choose(path, sha256=store.prepared_sha256(state.manifest))
    if len(measured.ms) == 1:
        return ""
    times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in sorted(measured.ms.items(), key=lambda item: item[1]))
    others = "".join(f", {name} computes something else" for name in measured.disagree)
    return f"; runs on {measured.best} ({times}{others})"


def _verify(names: list[str], folder: Path, *, as_json: bool) -> int:
    states = verify(names, folder)
    if as_json:
        print(json.dumps([_as_json(state) for state in states], indent=2))
    else:
        for state in states:
            print(f"{state.manifest.name}: {state.problem or 'intact'}")
        if not states:
            print(f"no models in {folder}: run 'streamd models pull'")
    return ExitCode.UNAVAILABLE if any(state.problem for state in states) or not states else ExitCode.OK


def _as_json(state: ModelState) -> dict[str, object]:
    manifest: Manifest = state.manifest
    return {
        "name": manifest.name,
        "kind": manifest.kind,
        "model_id": manifest.model_id,
        "licence": manifest.licence,
        "origin": manifest.origin,
        "summary": manifest.summary,
        "problem": state.problem,
        "changed": state.changed,
    }
