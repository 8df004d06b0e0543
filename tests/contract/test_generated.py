"""The committed code is what the .proto files make."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import blackstart_proto

SOURCE = Path(blackstart_proto.__file__).resolve().parent.parent


def test_the_committed_code_is_generated_from_the_contract(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", SOURCE / "generate.py")
    assert spec is not None and spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    generator.generate(tmp_path)
    folder = Path("blackstart_proto/v1")
    made = {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}
    committed = {path.name: path.read_text() for path in (SOURCE / folder).glob("*_pb2*")}
    assert made.keys() == committed.keys()
    stale = [name for name in made if made[name] != committed[name]]
    assert stale == [], "run: python proto/generate.py"
