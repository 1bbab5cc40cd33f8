"""Versions of packages: missing, wrong and editable ones."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path

from zoo.doctor import packages
from zoo.doctor.finding import Finding


def by_name(findings) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings}


def test_versions_are_those_of_the_metadata() -> None:
    facts = by_name(packages.requirements())["packages"].facts
    assert {name: metadata.version(name) for name in ("torch", "torchvision", "timm", "onnx")}.items() <= facts.items()
    core = by_name(packages.core())["torch-zoo"]
    assert core.facts["version"] == metadata.version("torch-zoo") and core.facts["version"] in core.says
    assert by_name(packages.interpreter())["python"].facts["path"] == sys.executable


def test_missing_and_wrong_versions_are_problems_with_the_command_that_repairs_them(monkeypatch) -> None:
    lines = [
        "no-such-package>=2",
        "numpy>=99",
        "torch",
        "absent; extra == 'dev'",
        "elsewhere>=1; sys_platform == 'nowhere'",
    ]
    monkeypatch.setattr(metadata, "requires", lambda _name: lines)
    found = by_name(packages.requirements())
    assert set(found) == {"no-such-package", "numpy", "packages"}
    assert (found["no-such-package"].level, found["no-such-package"].fix) == (
        "problem",
        "pip install 'no-such-package>=2'",
    )
    assert (found["numpy"].level, found["numpy"].fix) == ("problem", "pip install 'numpy>=99'")
    assert "torch" in found["packages"].facts


def put_distribution(site: Path, name: str, direct_url: dict | None = None) -> None:
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    if direct_url is not None:
        (info / "direct_url.json").write_text(json.dumps(direct_url), encoding="utf-8")


def test_an_editable_install_is_told_with_its_folder(tmp_path) -> None:
    put_distribution(tmp_path / "a", "zoo-a", {"url": "file:///home/me/my%20zoo", "dir_info": {"editable": True}})
    put_distribution(tmp_path / "b", "zoo-b", {"url": "file:///home/me/zoo", "dir_info": {}})
    put_distribution(tmp_path / "c", "zoo-c")
    found = [
        packages.editable_folder(next(iter(metadata.distributions(path=[str(tmp_path / name)])))) for name in "abc"
    ]
    assert found == [Path("/home/me/my zoo"), None, None]


def test_two_onnxruntimes_are_a_warning(tmp_path, monkeypatch) -> None:
    assert list(packages.rival_runtimes()) == []
    for name in packages.RIVALS:
        put_distribution(tmp_path / "site", name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    (finding,) = packages.rival_runtimes()
    assert finding.level == "warning" and "overwrite each other" in finding.says and "uninstall both" in finding.fix
