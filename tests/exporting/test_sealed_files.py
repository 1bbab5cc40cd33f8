"""Two exports of one run have the same bytes but for verify.json, and a changed byte of bundle.json is refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from zoo import runtime
from zoo.errors import CheckpointError
from zoo.exporting.export import Bundle
from zoo.exporting.opening import exported_at
from zoo.workflows.predict import predict

EVERY_BYTE = """
import sys
from pathlib import Path
import zoo_runtime

index, image = Path("bundle.json"), sys.argv[1]
content, opened, sys.argv = index.read_bytes(), [], ["predict.py", image]
for place in range(len(content)):
    index.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    code = zoo_runtime.main(lambda *given: opened.append(given), Path("model.onnx"))
    assert (code, opened) == (4, []), (place, code)
"""


@pytest.fixture
def bundle(run_export: Callable[..., Bundle]) -> Path:
    return run_export().path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("L", (8, 8), 200).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def alter(bundle: Path) -> None:
    """Exchange two classes: the file is JSON as before."""
    content = (bundle / "bundle.json").read_bytes()
    changed = content.replace(b'"3"', b'"X"').replace(b'"5"', b'"3"').replace(b'"X"', b'"5"')
    assert changed != content and len(changed) == len(content)
    (bundle / "bundle.json").write_bytes(changed)


def test_two_exports_differ_in_verify_json_alone(run_export: Callable[..., Bundle], tmp_path: Path) -> None:
    bundles = [run_export(out=tmp_path / name).path for name in ("one", "two")]
    names = [sorted(file.name for file in each.iterdir()) for each in bundles]
    assert names[0] == names[1] and len(names[0]) == 7
    differing = [name for name in names[0] if len({(each / name).read_bytes() for each in bundles}) > 1]
    assert set(differing) <= {"verify.json"}


def test_the_date_is_in_verify_json_alone(bundle: Path) -> None:
    date = runtime.parse_index((bundle / "verify.json").read_bytes(), bundle / "verify.json")["date"]
    assert [file.name for file in bundle.iterdir() if date[:10].encode() in file.read_bytes()] == ["verify.json"]


@pytest.mark.parametrize("name", ["bundle.json", "verify.json"])
def test_every_changed_byte_of_a_sealed_file_is_noticed(bundle: Path, name: str) -> None:
    content = (bundle / name).read_bytes()
    assert runtime.parse_index(content, bundle / name)["format"] == 3
    assert len(content) > 1500
    for place in range(len(content)):
        for flip in (1, 128):
            changed = content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :]
            with pytest.raises(runtime.ModelError, match=rf"{name} (is damaged|was altered)"):
                runtime.parse_index(changed, bundle / name)
    for changed in (content[:-1], content + b"\n", content[:-20], content.replace(b"  ", b" ", 1)):
        with pytest.raises(runtime.ModelError, match=rf"{name} (is damaged|was altered)"):
            runtime.parse_index(changed, bundle / name)


def test_zoo_predict_refuses_every_changed_byte_of_bundle_json(bundle: Path, image: Path) -> None:
    content = (bundle / "bundle.json").read_bytes()
    assert len(predict(bundle, [image]).rows) == 1
    for place in range(len(content)):
        (bundle / "bundle.json").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        for target in (bundle, bundle / "model.onnx"):
            with pytest.raises(CheckpointError, match=r"bundle\.json (is damaged|was altered)"):
                exported_at(target)
    (bundle / "bundle.json").write_bytes(content)
    alter(bundle)
    with pytest.raises(
        CheckpointError, match=r"bundle\.json was altered: its sha256 .*; fix: export it again"
    ) as caught:
        predict(bundle, [image])
    assert caught.value.exit_code == 4


def test_predict_py_refuses_every_changed_byte_of_bundle_json(bundle: Path, image: Path) -> None:
    content = (bundle / "bundle.json").read_bytes()
    command = [sys.executable, "-c", EVERY_BYTE, str(image)]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stderr.splitlines()
    assert len(lines) > 1500 and all(line.startswith("error: ") for line in lines)
    (bundle / "bundle.json").write_bytes(content)
    alter(bundle)
    done = subprocess.run([sys.executable, bundle / "predict.py", image], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (4, "", 1)
    assert "bundle.json was altered: its sha256 is not the one at its end" in done.stderr


def test_a_description_in_the_index_is_the_one_that_is_followed(bundle: Path, image: Path) -> None:
    """Written anew with its seal: the seal shows damage, and is no signature."""
    content = (bundle / "bundle.json").read_bytes()
    changed = content[: content.rfind(runtime.SEAL)].replace(b'"5",', b'"five",')
    (bundle / "bundle.json").write_bytes(runtime.sealed_json(changed))
    assert "five" in predict(bundle, [image]).classes
