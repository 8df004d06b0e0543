"""The committed code is what the .proto files make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import blackstart_proto

SOURCE = Path(blackstart_proto.__file__).resolve().parent.parent


def test_the_committed_code_is_generated_from_the_contract(tmp_path: Path) -> None:
    # A process of its own: protoc forks its plugins, which a process with gRPC's threads must not.
    subprocess.run([sys.executable, SOURCE / "generate.py", tmp_path], check=True)
    folder = Path("blackstart_proto/v1")
    made = {path.name: path.read_text() for path in (tmp_path / folder).iterdir()}
    committed = {path.name: path.read_text() for path in (SOURCE / folder).glob("*_pb2*")}
    assert made.keys() == committed.keys()
    stale = [name for name in made if made[name] != committed[name]]
    assert stale == [], "run: python proto/generate.py"
