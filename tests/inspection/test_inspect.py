"""What a third party's file or folder is: described within limits, with nothing executed and nothing written."""

from __future__ import annotations

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from zoo.inspection import archives, findings
from zoo.inspection.inspect import inspect
from zoo.registry.core_commands import COMMANDS
from zoo.runs import checkpoints

TOP = Path(__file__).parents[2]
BUNDLE = TOP / "exports" / "published" / "cnn_mnist"


class Call:
    def __reduce__(self) -> Any:
        return (os.system, ("touch owned",))


def everything(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_bundle_is_described_and_its_digests_compared(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(BUNDLE, folder)
    found = inspect(folder)
    assert found is not None and found.kind == "bundle" and found.facts["classes"] == 10
    assert found.digests["model.onnx"] == "holds" and found.refused == []
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes() + b"x")
    (folder / "README.md").unlink()
    (folder / "extra.py").write_text("raise SystemExit")
    before = everything(folder)
    found = inspect(folder)
    assert found is not None and (found.digests["model.onnx"], found.digests["README.md"]) == ("differs", "missing")
    assert any("model.onnx: its sha256 is not the one recorded" in line for line in found.refused)
    assert any("extra.py" in line for line in found.refused) and everything(folder) == before


def test_a_run_is_described_with_the_plugins_it_needs(made_run: Callable[..., Any]) -> None:
    run = made_run("one")
    (run.path / "planted").symlink_to("/etc/passwd")
    found = inspect(run.path)
    assert found is not None and found.kind == "run"
    assert (found.facts["architecture"], found.facts["status"], found.facts["classes"]) == ("lab/net", "finished", 2)
    assert found.needs == ["plugin lab: not installed"]
    assert any(line.startswith("planted: a link to /etc/passwd") for line in found.refused)


def test_a_run_is_described_with_its_target_its_adaptations_and_its_decision(made_run: Callable[..., Any]) -> None:
    run = made_run(
        "numbers",
        target={"kind": "values", "names": ["height", "width"], "units": ["mm", "mm"]},
        adaptations=[{"frozen": 3}, {"rank": 4}],
        decision={"kind": "affine", "names": ["height", "width"], "scale": [1, 1], "offset": [0, 0]},
    )
    found = inspect(run.path)
    assert found is not None and found.refused == []
    facts = {name: found.facts[name] for name in ("target", "classes", "adaptations", "decision")}
    assert facts == {"target": "values", "classes": 0, "adaptations": 2, "decision": "affine"}


def test_a_run_from_before_contract_2_is_described_and_said_to_be_refused(made_run: Callable[..., Any]) -> None:
    run = made_run("old")
    record = json.loads(run.record_file.read_text(encoding="utf-8"))
    for key in ("target", "statistics", "adaptations", "solution", "decision"):
        record.pop(key, None)
    record |= {"classes": ["cat", "dog", "owl"], "structure": {"layers": {}}}
    run.record_file.write_text(json.dumps(record), encoding="utf-8")
    found = inspect(run.path)
    assert found is not None and found.kind == "run"
    assert (found.facts["target"], found.facts["classes"], found.facts["architecture"]) == ("classes", 3, "lab/net")
    assert found.refused == ["it was written by a version of zoo with plugin API 1: this zoo cannot open it"]


def test_the_checkpoints_of_a_run_hold_and_a_damaged_one_is_named(
    tmp_path: Path, made_run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "WORTH_A_FILE", 1)
    run, model = made_run("real"), torch.nn.Linear(3, 2)
    name = checkpoints.save(run, 10, model, {}, {}, frozen=["weight"])
    for place, where in ((run.path, f"checkpoints/{name}/"), (run.checkpoints / name, "")):
        found = inspect(place)
        assert found is not None and not found.refused
        held = {each.removeprefix(where): state for each, state in found.digests.items()}
        assert set(held.values()) == {"holds"} and {"model.safetensors", "state.json"} < held.keys() and len(held) == 5
    damaged = next(run.checkpoints.glob("frozen-*.copy.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    found = inspect(run.path)
    assert found is not None and found.refused == [
        f"checkpoints/{name}: {damaged.name}: its sha256 is not the one recorded"
    ]


def test_weights_are_named_with_their_shapes_and_damage_is_said(tmp_path: Path) -> None:
    save_file(
        {"fc.weight": np.zeros((2, 3), np.float32), "fc.bias": np.zeros(2, np.float32)},
        tmp_path / "net.safetensors",
        {"source": "lab"},
    )
    found = inspect(tmp_path / "net.safetensors")
    assert found is not None and found.facts["numbers"] == 8 and found.facts["metadata"] == {"source": "lab"}
    assert ("fc.weight", "F32 2×3") in found.contains and found.refused == []
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "net.safetensors").read_bytes()[:-4])
    found = inspect(tmp_path / "cut.safetensors")
    assert found is not None and "cut off" in found.refused[0]


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"w": Call()}, tmp_path / "net.pth") if how == "torch" else (tmp_path / "net.pth").write_bytes(
        pickle.dumps(Call())
    )
    found = inspect(tmp_path / "net.pth")
    assert found is not None and found.kind.startswith("pickle")
    assert any(".system" in line for line in found.refused) and not (tmp_path / "owned").exists()


@pytest.mark.parametrize("form", ["tar", "tar.gz", "zip"])
def test_an_archive_is_listed_and_what_would_be_refused_is_named(tmp_path: Path, form: str) -> None:
    archive = tmp_path / f"a.{form}"
    names = ["ok/a.png", "../out.png", "/etc/x"]
    if form == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for name in names:
                packed.writestr(name, b"abc")
    else:
        with tarfile.open(archive, "w:gz" if form == "tar.gz" else "w") as packed_tar:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 3
                packed_tar.addfile(info, io.BytesIO(b"abc"))
    found = inspect(archive)
    assert found is not None and found.facts["members"] == 3 and [name for name, _ in found.contains] == names
    assert len(found.refused) == 2 and sorted(file.name for file in tmp_path.iterdir()) == [archive.name]


def test_listing_a_bomb_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "READ_LIMIT", 1 << 20)
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as packed:
        for index in range(3):
            info = tarfile.TarInfo(f"{index}.png")
            info.size = 1 << 20
            packed.addfile(info, io.BytesIO(bytes(info.size)))
    found = inspect(tmp_path / "bomb.tar.gz")
    assert found is not None and found.contains[0] == ("0.png", "1.0 MB") and "listing stopped" in found.refused[0]


def test_names_are_counted_beyond_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MOST_ENTRIES", 3)
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as packed:
        for index in range(10):
            packed.writestr(f"{index}.png", b"")
    found = inspect(tmp_path / "many.zip")
    assert found is not None and (len(found.contains), found.more) == (3, 7)


HOSTILE: dict[str, bytes] = {
    "deep.json": b"[" * 200_000,
    "deep.yaml": b"[" * 5_000,
    "long.safetensors": (1 << 40).to_bytes(8, "little") + b"{}",
    "short.safetensors": b"{",
    "numbers.safetensors": (2).to_bytes(8, "little") + b"[]",
    "empty.onnx": b"",
    "loop.onnx": b"\x08" + b"\xff" * 5000,
    "cut.zip": b"PK\x03\x04" + bytes(100),
    "cut.tar.gz": b"\x1f\x8b\x08" + bytes(100),
    "cut.rar": b"Rar!\x1a\x07\x01\x00" + bytes(100),
    "cut.pkl": b"\x80\x04\x95",
    "bytes.json": b'{"a": "\xff"}',
    "manifest/MANIFEST.json": b"[1]",
    "run/run.json": b'{"target": [], "adaptations": {}, "decision": 7, "results": [1], "versions": 3}',
    "run/old/run.json": b'{"classes": {}, "results": [1], "versions": 3, "architecture": ["x"]}',
    "run/names/run.json": b'{"target": {"kind": [1], "names": {}}, "adaptations": [[]], "decision": {"kind": {}}}',
    "bundle/bundle.json": b'{"files": {"../../etc/passwd": {"sha256": "0"}, "bundle.json": 7}, "description": []}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_content_is_described_or_not_known_and_raises_nothing(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(HOSTILE[name])
    before = everything(tmp_path)
    found = inspect(file if "/" not in name else file.parent)
    assert found is not None and everything(tmp_path) == before
    if not name.startswith(("run/", "bundle/")):
        # rarfile, where it is installed, lists nothing of an archive that is cut off
        assert found.refused or found.facts.get("members") == 0


def test_the_command_is_light_and_says_what_it_found(tmp_path: Path) -> None:
    script = (
        "import sys; from zoo.cli.app import run_cli; code = run_cli(sys.argv[1:])\n"
        "print('HEAVY', [name for name in ('torch', 'numpy', 'onnx', 'onnxruntime') if name in sys.modules]); "
        "sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "inspect", str(BUNDLE)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and "model.onnx: holds" in done.stdout and done.stdout.splitlines()[-1] == "HEAVY []"
    assert "inspect" in COMMANDS


def test_pipes_and_devices_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match=r"not a regular file|Invalid argument"):
            inspect(path)


def test_json_holds_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zoo.cli.app import run_cli

    assert run_cli(["inspect", str(BUNDLE), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["kind"] == "bundle" and values["digests"]["model.onnx"] == "holds"
    (tmp_path / "x").write_bytes(b"\x00\x01nothing")
    assert run_cli(["inspect", str(tmp_path / "x")]) == 3 and "nothing that zoo knows" in capsys.readouterr().err
