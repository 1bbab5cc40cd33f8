"""An application that uses zoo as a library: keep an index of the images below a folder, with a model's predictions.

python photo_index.py MODEL FOLDER            # add new and changed images to FOLDER/photo-index.json
python photo_index.py MODEL FOLDER --find cat # then list the images that were predicted as cat
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import zoo
from zoo.errors import ZooError
from zoo.plugin import find_images, write_json

INDEX = "photo-index.json"


def update(model: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Predict the images that are new or were changed since the index was written; return the index by path.

    ``model`` is a run or a bundle. An index of another model is replaced. An image that cannot be read is kept with its
    ``error``. Raises ZooError.
    """
    file = folder / INDEX
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    known = stored["images"] if stored.get("model") == model else {}
    found = {path.relative_to(folder).as_posix(): path for path in find_images([folder]).files}
    index = {name: known[name] for name, path in found.items() if name in known and known[name]["stamp"] == stamp(path)}
    new = [path for name, path in found.items() if name not in index]
    if new:
        for predictions in zoo.predict_batches(model, new):
            for path, values in predictions.rows:
                facts = predictions.facts(values, 1)
                index[path.relative_to(folder).as_posix()] = {"stamp": stamp(path), **facts}
            for path, error in predictions.failures:
                index[path.relative_to(folder).as_posix()] = {"stamp": stamp(path), "error": error}
    write_json(file, {"model": model, "images": dict(sorted(index.items()))})
    return index


def stamp(path: Path) -> list[int]:
    """Return what changes when the file does: its size in bytes and its time of change in nanoseconds."""
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Keep an index of the images below a folder.")
    parser.add_argument("model", help="a run or a bundle")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--find", metavar="CLASS", help="list the images that were predicted as this class")
    given = parser.parse_args(arguments)
    try:
        index = update(given.model, given.folder)
    except ZooError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    if given.find is None:
        failed = sum("error" in entry for entry in index.values())
        sys.stdout.write(f"{len(index)} images, {failed} of them unreadable\n")
    for name, entry in sorted(index.items()):
        if given.find is not None and entry.get("answer") == given.find:
            sys.stdout.write(f"{name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
