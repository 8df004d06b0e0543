"""Generate the committed Python code of the contract: `python proto/generate.py [FOLDER]`.

Without a folder the code is written beside the .proto files. The drift test writes it elsewhere and compares.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

SOURCE = Path(__file__).resolve().parent


def generate(target: Path) -> None:
    """Write *_pb2.py, *_pb2.pyi, *_pb2_grpc.py and *_pb2_grpc.pyi for every .proto file below `target`."""
    protos = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.glob("blackstart_proto/v1/*.proto"))
    bundled = str(files("grpc_tools") / "_proto")
    scripts = Path(sys.executable).parent  # beside this interpreter, also when its folder is not in PATH
    plugins = [f"--plugin={name}={scripts / name}" for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")]
    code = protoc.main(
        [
            "protoc",
            *plugins,
            f"--proto_path={SOURCE}",
            f"--proto_path={bundled}",
            f"--python_out={target}",
            f"--mypy_out={target}",
            *protos,
        ]
    )
    services = [path for path in protos if path.endswith("agent.proto")]
    code = code or protoc.main(
        [
            "protoc",
            *plugins,
            f"--proto_path={SOURCE}",
            f"--grpc_python_out={target}",
            f"--mypy_grpc_out={target}",
            *services,
        ]
    )
    if code:
        raise SystemExit(f"protoc failed with {code}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE)
