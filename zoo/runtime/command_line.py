"""The command line of a bundle's predict.py."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo.runtime.answers import answer_text, printable
from zoo.runtime.bundles import ModelError
from zoo.runtime.decisions import decision_of
from zoo.runtime.image_files import find_images
from zoo.runtime.masks import MaskFolder
from zoo.runtime.opening import Model, open_model
from zoo.runtime.predicting import predict_batches, split_files
from zoo.runtime.tables import open_table
from zoo.runtime.versions import SetupError
from zoo.runtime.windows import check_window


def _arguments(model: Path, providers: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predict images with the exported model beside this file.")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders of them")
    parser.add_argument("--model", type=Path, default=model, help=f"default: the {model.name} beside this file")
    parser.add_argument(
        "--top", type=int, default=3, help="classes, matches or values to print for each image (default 3)"
    )
    parser.add_argument(
        "--csv", type=Path, help="also write the answers, with every probability or value, to this file"
    )
    parser.add_argument("--masks", type=Path, help="also write the mask of each image as PNG to this folder")
    parser.add_argument(
        "--window",
        type=float,
        metavar="OVERLAP",
        help="slide the model over the whole of each image, with windows that overlap by this share (such as 0.25)",
    )
    parser.add_argument("--provider", choices=providers, default="cpu", help="what runs the model (default cpu)")
    parser.add_argument("--threads", type=int, help="number of CPU threads (default: the runtime's)")
    parser.add_argument(
        "--max-pixels",
        type=int,
        help="the most pixels that an image may have, as it is and scaled (default: the model's)",
    )
    return parser.parse_args()


def main(load: Callable[[Path, str, int | None], Any], model: Path, providers: Sequence[str] = ("cpu",)) -> int:
    """The command line of a bundle's predict.py; returns its exit code.

    ``load`` opens a path with a provider and a number of threads (None: the default), and returns a runner
    (`zoo.api.Runner`). ``model`` is the file beside predict.py.
    """
    for stream in (sys.stdout, sys.stderr):  # a name that their encoding lacks is shown as an escape, and is no error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    asked = _arguments(model, providers)
    failures: list[tuple[Path, str]] = []
    try:
        opened = open_model(asked.model, lambda path: load(path, asked.provider, asked.threads))
        description, decision = opened.description, decision_of(opened.description)
        if asked.masks and decision["kind"] != "pixel_argmax":
            raise ModelError(f"{asked.model}: its decision {decision['kind']} gives no masks")
        if asked.window is not None:
            check_window(asked.window, decision)
            description["window"] = asked.window
        if asked.max_pixels is not None:
            description["input"]["max_pixels"] = asked.max_pixels
        found = find_images(asked.images)
        _predict_all(asked, opened, found.files, failures)
    except (ValueError, OSError, SetupError, ImportError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        return next(code for kind, code in EXIT_CODES.items() if isinstance(error, kind))
    if found.skipped:
        print(printable(found.skipped), file=sys.stderr)
    for path, reason in failures:
        print(printable(f"error: {path}: {reason}"), file=sys.stderr)
    return 3 if failures else 0


def _predict_all(
    asked: argparse.Namespace, opened: Model, files: Sequence[Path], failures: list[tuple[Path, str]]
) -> None:
    """Print the answers and write the table and masks that were asked for, batch by batch."""
    decision = decision_of(opened.description)
    masks = MaskFolder(asked.masks, decision) if asked.masks else None
    with open_table(asked.csv, decision) as write:
        for batch in predict_batches(opened.run, opened.description, split_files(files, opened.description)):
            write(batch.rows)
            for path, values in batch.rows:
                if masks is not None:
                    masks.write(path, values)
                print(printable(f"{path}: {answer_text(values, decision, asked.top)}"))
            failures += [(path, str(error)) for path, error in batch.failures]


EXIT_CODES = {ModelError: 4, ValueError: 3, SetupError: 6, ImportError: 6, OSError: 7}
