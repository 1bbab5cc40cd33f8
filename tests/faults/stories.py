"""What is run under faults: each story is one command of zoo (or a few), in a folder of its own, and returns the exit
code.

The network is small and its second epoch of three is the best, so that the best checkpoint is not the last, checkpoints
are written within epochs, and old ones are removed.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

QUIET = ("--set", "threads=1", "--set", "train.log_samples=true")
RUN = (
    "run", "fnn", "--data", "digits", "--device", "cpu", "--epochs", "3", "--batch-size", "256", "--lr", "0.5",
    "--seed", "3",
    "--set", "dataset.val_fraction=0.2", "--set", "train.keep_checkpoints=2", "--set", "train.checkpoint_steps=4",
    *QUIET,
)  # fmt: skip
SGD = ("--set", "train.optimizer=sgd", "--set", "train.momentum=0.1", "--set", "train.schedule=constant")


def command(*arguments: str) -> int:
    from zoo.cli.app import run_cli

    return run_cli(list(arguments))


def run(request: dict[str, Any]) -> int:
    return command(*RUN, *request.get("more", SGD), "--name", request.get("name", "it"))


def resume(request: dict[str, Any]) -> int:
    return command("run", "--resume", request.get("run", "runs/fnn/it"))


def evaluate(request: dict[str, Any]) -> int:
    return command("evaluate", request.get("run", "runs/fnn/it"), "--split", request["split"], "--json")


def verify(request: dict[str, Any]) -> int:
    return command("verify", request.get("run", "runs/fnn/it"))


def export(request: dict[str, Any]) -> int:
    return command("export", request.get("run", "fnn/it"), "--onnx", "--out", "exports/it")


def predict(request: dict[str, Any]) -> int:
    return command("predict", "exports/it", "runs/fnn/it/samples")


def facts(request: dict[str, Any]) -> int:
    """Print, as JSON, all that two equal runs must have in common."""
    import csv

    import zoo
    from zoo.runs.run_directory import RunDir

    path = Path(request.get("run", "runs/fnn/it"))
    record = RunDir(path).record
    digest = hashlib.sha256()
    for name, value in sorted(zoo.load(path).module.state_dict().items()):
        digest.update(name.encode() + value.numpy().tobytes())
    with (path / "metrics.csv").open(newline="", encoding="utf-8") as stream:
        rows = [{key: value for key, value in row.items() if "second" not in key} for row in csv.DictReader(stream)]
    found = {
        "status": record.status,
        "results": record.results,
        "weights": digest.hexdigest(),
        "metrics": rows,
        "samples": (path / "samples.jsonl").read_text(encoding="utf-8"),
        "predictions": (path / "predictions.csv").read_text(encoding="utf-8"),
        "files": sorted(str(file.relative_to(path)) for file in path.rglob("*") if "checkpoints/" not in str(file)),
    }
    print(json.dumps(found))
    return 0


def download(request: dict[str, Any]) -> int:
    """Download an archive of images from a server on the loopback interface, unpack it, decode it, and train on it."""
    from zoo.data import downloads
    from zoo.errors import ZooError

    content = Path(request["archive"]).read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(content))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    downloads.ALLOWED, downloads.RETRY_SECONDS = ("http://127.0.0.1",), 0.0  # type: ignore[misc,assignment]
    target = Path("data/images.zip")
    try:
        if not target.exists():
            url = f"http://127.0.0.1:{server.server_address[1]}/images.zip"
            downloads.download(url, target, hashlib.sha256(content).hexdigest(), len(content))
    except ZooError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return command(
        "run",
        "lenet",
        "--data",
        "folder:data/images.zip",
        "--epochs",
        "1",
        "--device",
        "cpu",
        *QUIET,
        "--name",
        request["name"],
    )


def _handler(content: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def _draw_nothing() -> None:
    """Figures are saved as an empty image, by the same calls: drawing them is most of a run's time, and none of its
    file calls."""
    from io import BytesIO

    from matplotlib.figure import Figure
    from PIL import Image

    pixel = BytesIO()
    Image.new("RGB", (8, 8)).save(pixel, "PNG")

    def savefig(_figure: Figure, file: Any, **_: Any) -> None:
        if hasattr(file, "write"):
            file.write(pixel.getvalue())
        else:
            Path(file).write_bytes(pixel.getvalue())

    Figure.savefig = savefig  # type: ignore[method-assign,assignment]


def warm_up() -> None:
    """Import what the stories use, in the server itself, so that no child has to."""
    import torch

    torch.set_num_threads(1)
    _draw_nothing()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {f"ZOO_{name}": f"{folder}/{name.lower()}" for name in ("RUNS", "EXPORTS", "DATA", "CACHE")} | {
            "ZOO_OFFLINE": "1"
        }
        here = Path.cwd()
        os.chdir(folder)
        if command(*RUN, *SGD, "--name", "it") or command("export", "fnn/it", "--onnx", "--out", "exports/it"):
            raise SystemExit("the warm-up failed")
        os.chdir(here)


STORIES: dict[str, Callable[[dict[str, Any]], int]] = {
    each.__name__: each for each in (run, resume, evaluate, verify, export, predict, facts, download)
}
