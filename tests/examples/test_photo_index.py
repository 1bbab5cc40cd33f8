"""The example application: an index of a folder, by a published bundle."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

import zoo

TOP = Path(__file__).parents[2]
MODEL = str(TOP / "exports" / "published" / "cnn_mnist")


@pytest.fixture(scope="module")
def application() -> ModuleType:
    spec = importlib.util.spec_from_file_location("photo_index", TOP / "examples" / "photo-index" / "photo_index.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    for place, name in enumerate(("a.png", "more/b.png")):
        Image.new("L", (28, 28), 40 + 100 * place).save(tmp_path / name)
    return tmp_path


def test_only_new_images_are_predicted(
    application: ModuleType, photos: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[list[str]] = []
    real = zoo.predict_batches

    def counting(model: str, images: list[Path]) -> object:
        asked.append(sorted(path.name for path in images))
        return real(model, images)

    monkeypatch.setattr(zoo, "predict_batches", counting)
    assert application.main([MODEL, str(photos)]) == 0
    expected = {
        path.relative_to(photos).as_posix(): int(values.argmax()) for path, values in zoo.predict(MODEL, [photos]).rows
    }
    (photos / "broken.png").write_bytes(b"no image")
    shutil.copy(photos / "a.png", photos / "c.png")
    (photos / "more" / "b.png").unlink()
    assert application.main([MODEL, str(photos)]) == 0
    assert application.main([MODEL, str(photos)]) == 0
    assert asked == [["a.png", "b.png"], ["broken.png", "c.png"]]
    index = json.loads((photos / "photo-index.json").read_text())["images"]
    assert {name: entry.get("answer") for name, entry in index.items()} == {
        "a.png": str(expected["a.png"]),
        "broken.png": None,
        "c.png": str(expected["a.png"]),
    }
    assert index["broken.png"]["error"]
    capsys.readouterr()
    assert application.main([MODEL, str(photos), "--find", str(expected["a.png"])]) == 0
    assert capsys.readouterr().out.split() == ["a.png", "c.png"]


def test_an_error_is_one_line_with_its_exit_code(
    application: ModuleType, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert application.main([str(photos / "none"), str(photos)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_it_needs_no_torch_for_a_bundle(photos: Path) -> None:
    import subprocess

    script = TOP / "examples" / "photo-index" / "photo_index.py"
    code = (
        f"import runpy, sys; sys.argv = ['photo_index.py', {MODEL!r}, {str(photos)!r}]\n"
        f"try: runpy.run_path({str(script)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["2 images, 0 of them unreadable", "False"]
