"""docs/models.md against the code."""

from __future__ import annotations

import re
from pathlib import Path

from streamd.vision.catalog import Manifest, ModelFile, ModelInput, catalogue, read_manifest

PAGE = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")


def test_every_shipped_model_is_in_the_table_with_its_licence() -> None:
    for manifest in catalogue().values():
        rows = [line for line in PAGE.splitlines() if line.startswith(f"| `{manifest.name}` | {manifest.kind} |")]
        assert len(rows) == 1, manifest.name
        assert manifest.licence in rows[0]


def test_the_example_is_a_manifest_with_every_key(tmp_path: Path) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    path = tmp_path / "mobilefacenet.yaml"
    path.write_text(example)
    read_manifest(path)
    for part in (Manifest, ModelFile, ModelInput):
        for key in part.model_fields:
            assert re.search(rf"^[ #-]*{key}:", example, re.MULTILINE), key
