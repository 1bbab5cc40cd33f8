"""The kinds of input: each makes a damaged input in a folder, and gives the command line that is to cope with it."""

from __future__ import annotations

import io
import os
import random
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mutations import Mutator
from PIL import Image

TINY = ("--device", "cpu", "--epochs", "1", "--batch-size", "512", "--set", "threads=1")
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF", "tif": "TIFF"}
LABELS = ("file", "label", "split")


def make_base(base: Path) -> Path:
    """A finished run, its bundle, images of all formats, archives and a table of labels, made by zoo itself; all
    modules are imported on the way."""
    from zoo.cli.app import run_cli

    base.mkdir(parents=True)
    os.environ |= {f"ZOO_{each}": str(base / each.lower()) for each in ("RUNS", "EXPORTS", "DATA", "CACHE")} | {
        "ZOO_OFFLINE": "1"
    }
    os.chdir(base)
    images = base / "images"
    generator = np.random.RandomState(0)
    for label in ("bus", "car"):
        (images / label).mkdir(parents=True)
        for index, (suffix, form) in enumerate(FORMATS.items()):
            image = Image.fromarray(generator.randint(0, 256, (12, 16, 3), np.uint8))
            image.save(
                images / label / f"{index}.{suffix}",
                form,
                **({"exif": _exif()} if suffix in ("jpg", "png", "webp") else {}),
            )
    rows = [
        f"{path.relative_to(images).as_posix()},{path.parent.name},{'val' if path.stem == '5' else 'train'}"
        for path in sorted(images.rglob("*.*"))
    ]
    (base / "labels.csv").write_text("\n".join([",".join(LABELS), *rows]) + "\n", encoding="utf-8")
    with zipfile.ZipFile(base / "images.zip", "w") as archive:
        for path in sorted(images.rglob("*.*")):
            archive.write(path, path.relative_to(base))
    with tarfile.open(base / "images.tar.gz", "w:gz") as tar:
        tar.add(images, "images")
    commands = (
        ["run", "fnn", "--data", "digits", *TINY, "--name", "it"],
        ["export", "fnn/it", "--onnx", "--out", "exports/it"],
        ["predict", "exports/it", "images/bus/0.png"],
        ["run", "lenet", "--data", "folder:images", "--dry-run"],
    )
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        out, sys.stdout = sys.stdout, nothing
        try:
            for each in commands:
                if run_cli(list(each)):
                    raise SystemExit(f"cannot prepare: {' '.join(each)}")
        finally:
            sys.stdout = out
    return base


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    return exif


# ---------------------------------------------------------------------------------------------------------------- kinds


def command_lines(draw: Mutator, base: Path, folder: Path) -> list[str]:
    """A command, some of its options, and values that nobody would give; a run is a dry one."""
    name = draw.random.choice(sorted(_parameters()))
    positional, options = _parameters()[name]
    values = _values(draw, base)
    words = [
        draw.random.choice(values)
        for _ in range(draw.random.choice((positional, positional, draw.random.randint(0, 3))))
    ]
    for option, flag in draw.some(options, 4):
        words += [option] if flag and draw.random.random() < 0.9 else [option, draw.random.choice(values)]
    if draw.random.random() < 0.5:
        words += ["--set", f"{draw.random.choice(_keys())}={draw.word()}"] if name.startswith("run") else []
    draw.random.shuffle(words) if draw.random.random() < 0.1 else None
    return [*name.split(), *words, *(["--dry-run"] if name == "run" else [])]


def _values(draw: Mutator, base: Path) -> list[str]:
    known = [
        "fnn",
        "lenet",
        "digits",
        "classification",
        "transfer",
        "cnn_digits",
        "resnet18",
        f"folder:{base}/images",
        f"{base}/runs/fnn/it",
    ]
    return [
        *known,
        f"{base}/exports/it",
        f"{base}/images/bus/0.png",
        f"{base}/labels.csv",
        "3",
        "1",
        *[draw.word() for _ in range(6)],
    ]


_cache: dict[str, tuple[int, list[tuple[str, bool]]]] = {}


def _parameters() -> dict[str, tuple[int, list[tuple[str, bool]]]]:
    """Every command, with the number of its arguments and its options (and whether each is a flag), as the command line
    itself has them."""
    if not _cache:
        from typer.main import get_command

        from zoo.cli.app import app

        group: Any = get_command(app)
        with group.make_context("zoo", ["--version"], resilient_parsing=True) as context:
            for name in group.list_commands(context):
                found = group.get_command(context, name)
                inner = {f"{name} {key}": value for key, value in getattr(found, "commands", {}).items()} or {
                    name: found
                }
                for path, each in inner.items():
                    options = [
                        (option, bool(p.is_flag))
                        for p in each.params
                        if p.param_type_name == "option"
                        for option in p.opts
                    ]
                    _cache[path] = sum(p.param_type_name == "argument" for p in each.params), options
    return _cache


def _keys() -> list[str]:
    from zoo.config.run_config import DatasetSection, RunConfig, TrainConfig

    sections = {"": RunConfig, "train.": TrainConfig, "dataset.": DatasetSection}
    return [prefix + name for prefix, model in sections.items() for name in model.model_fields] + [
        "architecture.head",
        "task.label_smoothing",
    ]


def configurations(draw: Mutator, base: Path, folder: Path) -> list[str]:
    text = (base / "runs/fnn/it/config.yaml").read_text(encoding="utf-8")
    file = folder / "config.yaml"
    if draw.random.random() < 0.2:
        file.write_bytes(draw.bytes(text.encode()))
    else:
        file.write_text(draw.text(text), encoding="utf-8", errors="surrogateescape")
    return ["run", "--config", str(file), "--dry-run"]


READERS = (
    ["runs"], ["report", "IT"], ["evaluate", "IT"], ["compare", "IT", "OTHER"], ["run", "--resume", "IT"],
    ["predict", "IT", "IMAGE"],
    ["verify", "IT"], ["inspect", "IT"], ["export", "IT", "--onnx", "--out", "out"],
    ["show", "digits", "--count", "1", "--out", "x.png"],
)  # fmt: skip


def run_folders(draw: Mutator, base: Path, folder: Path) -> list[str]:
    """A run with one or two files changed, removed, swapped or made something else, and a command that reads it."""
    run = folder / "runs/fnn/it"
    shutil.copytree(base / "runs/fnn/it", run)
    files = sorted(
        path
        for path in run.rglob("*")
        if path.is_file() and path.suffix in (".json", ".yaml", ".csv", ".jsonl", ".safetensors")
    )
    for file in draw.some(files, 2) or [run / "run.json"]:
        if file.is_file():
            _damage(draw, file, files)
    arguments = draw.random.choice(READERS)
    places = {"IT": str(run), "OTHER": str(base / "runs/fnn/it"), "IMAGE": str(base / "images/bus/0.png")}
    return [places.get(each, each) for each in arguments]


def _damage(draw: Mutator, file: Path, others: list[Path]) -> None:
    match draw.random.randrange(10):
        case 0:
            file.unlink()
        case 1:
            file.unlink()
            file.mkdir()
        case 2:
            file.unlink()
            os.mkfifo(file)
        case 3:
            file.unlink()
            file.symlink_to(draw.random.choice(["/dev/zero", "/nowhere", file.name, "/etc/passwd"]))
        case 4:
            other = draw.random.choice(others)
            if other.is_file() and not other.is_symlink():
                content = other.read_bytes()
                file.unlink()
                file.write_bytes(content)
        case 5 | 6 | 7 if file.suffix == ".json":
            file.write_text(draw.json(file.read_text(encoding="utf-8")), encoding="utf-8", errors="surrogateescape")
        case 5 | 6 | 7 if file.suffix != ".safetensors":
            file.write_text(draw.text(file.read_text(encoding="utf-8")), encoding="utf-8", errors="surrogateescape")
        case _:
            file.write_bytes(draw.bytes(file.read_bytes()))


def tables(draw: Mutator, base: Path, folder: Path) -> list[str]:
    text = (base / "labels.csv").read_text(encoding="utf-8")
    table = folder / "labels.csv"
    if draw.random.random() < 0.3:
        table.write_bytes(draw.bytes(text.encode(draw.random.choice(("utf-8", "utf-16", "latin-1")))))
    else:
        table.write_text(draw.text(text), encoding="utf-8", errors="surrogateescape")
    return ["run", "lenet", "--data", f"folder:{base}/images", "--set", f"dataset.labels={table}", "--dry-run"]


def archives(draw: Mutator, base: Path, folder: Path) -> list[str]:
    """Damaged bytes of an archive, or a whole one with members that should not be."""
    form = draw.random.choice(("images.zip", "images.tar.gz"))
    file = folder / form
    if draw.random.random() < 0.6:
        file.write_bytes(draw.bytes((base / form).read_bytes()))
    else:
        _hostile(draw, file)
    return ["data", "check", f"folder:{file}"]


def _hostile(draw: Mutator, file: Path) -> None:
    names = (
        "../out.png",
        "/abs.png",
        "a/../../b.png",
        "a/b.png",
        "con.png",
        "a/" * 60 + "x.png",
        "é.png",
        "\udce9.png",
        "a\x1b.png",
        "a",
        "a/b/c.png",
    )
    names = (*names, "C:/x.png", "..\\out.png", ".hidden/x.png", "bus/0.png", "BUS/0.png")
    pixels = io.BytesIO()
    Image.new("L", (4, 4)).save(pixels, "PNG")
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w", draw.random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
            for name in draw.some(names, 6):
                info = zipfile.ZipInfo(name.encode("utf-8", "replace").decode())
                info.external_attr = draw.random.choice((0o100644, 0o120777, 0o010644, 0o040755)) << 16
                archive.writestr(info, draw.random.choice((pixels.getvalue(), b"/etc/passwd", b"\0" * 10_000_000)))
        return
    with tarfile.open(file, "w:gz") as tar:
        for name in draw.some(names, 6):
            member = tarfile.TarInfo(name)
            member.type = draw.random.choice(
                (tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE)
            )
            member.linkname, member.mode = draw.random.choice(("/etc/passwd", "../..", "a", name)), 0o644
            content = pixels.getvalue() if member.isreg() else b""
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def images(draw: Mutator, base: Path, folder: Path) -> list[str]:
    source = draw.random.choice(sorted((base / "images").rglob("*.*")))
    file = folder / draw.random.choice((source.name, source.name, "image.png", "noext", "x.jfif"))
    file.write_bytes(draw.bytes(source.read_bytes()))
    return ["predict", str(base / "exports/it"), str(file)]


def weights(draw: Mutator, base: Path, folder: Path) -> list[str]:
    """A damaged safetensors file in each of its roles."""
    source = next((base / "runs/fnn/it/checkpoints").glob("*/model.safetensors"))
    file = folder / "w.safetensors"
    file.write_bytes(draw.bytes(source.read_bytes()))
    return draw.random.choice(
        (
            ["predict", "fnn", "--weights", str(file), str(base / "images/bus/0.png")],
            ["run", "fnn", "--data", "digits", "--weights", str(file), "--dry-run"],
            ["weights", "convert", str(file), str(folder / "to.safetensors")],
            ["inspect", str(file)],
        )
    )


def models(draw: Mutator, base: Path, folder: Path) -> list[str]:
    """A damaged ONNX file, alone, and in its bundle."""
    content = draw.bytes((base / "exports/it/model.onnx").read_bytes())
    if draw.random.random() < 0.3:
        shutil.copytree(base / "exports/it", folder / "bundle")
        target = folder / "bundle/model.onnx"
    else:
        target = folder / "model.onnx"
    target.write_bytes(content)
    if draw.random.random() < 0.2:
        return ["inspect", str(target)]
    return [
        "predict",
        str(draw.random.choice((target, target.parent)) if target.parent.name == "bundle" else target),
        str(base / "images/bus/0.png"),
    ]


KINDS: dict[str, Callable[[Mutator, Path, Path], list[str]]] = {
    "command lines": command_lines,
    "configurations": configurations,
    "run folders": run_folders,
    "tables of labels": tables,
    "archives": archives,
    "images": images,
    "weights": weights,
    "ONNX files": models,
}

__all__ = ["KINDS", "make_base", "random"]
