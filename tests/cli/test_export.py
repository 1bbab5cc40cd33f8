"""`zoo export`: the formats are those of the installed exporters, and so are their flags and options."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

LAB = """
from pydantic import Field
from zoo.api import Exporter, ExporterSpec, Options, hookimpl

ZOO_API = "2.0"

class LiteOptions(Options):
    strict: bool = Field(False, description="refuse what is slow")

@hookimpl
def zoo_register_exporters():
    parts = dict(target="zoo_lab:Exporter", suffix=".lite", default=DEFAULT)
    return [ExporterSpec(name="lite", summary="a lite file", options="zoo_lab:LiteOptions", **parts)]
"""


@pytest.fixture
def lab(install, fresh_registry):
    def put(default: bool = False) -> None:
        install("zoo-lab", "lab", LAB.replace("DEFAULT", repr(default)))

    return put


def in_a_process(*arguments: str, site: Path) -> subprocess.CompletedProcess[str]:
    """The command line with the plugin installed when it starts, as flags are made then."""
    code = f"import sys; sys.path.insert(0, {str(site)!r}); from zoo.__main__ import main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)


def test_a_format_without_a_name_is_the_default_one_with_its_options(zoo, short, tmp_path) -> None:
    out = tmp_path / "bundle"
    told = zoo("export", "short", "--set", "export.opset=20", "--batch", "2", "--out", str(out), "--json")
    assert told.code == 0, told.err
    model = onnx.load(out / "model.onnx")
    assert model.opset_import[0].version == 20
    facts = json.loads(told.out)
    assert (facts["verification"]["batches"], facts["verification"]["form"]["opset"]) == ([2], 20)
    assert json.loads((out / "bundle.json").read_bytes())["exporter"]["name"] == "onnx/onnx"
    assert "| opset | 20, IR version 9 |" in (out / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "lite", "--set", "export.strct=true"], "export.strct: unknown key; fix: did you mean strict?"),
        (["--format", "lite", "--set", "export.opset=18"], "export.opset: unknown key"),
        (["--format", "lite", "--set", "export.strict=often"], "export.strict: "),
        (["--onnx", "--format", "lite"], "--onnx and --format lite do not go together; fix: keep one of them"),
        (["--format", "lit"], "no exporter is called 'lit'; fix: did you mean lite?"),
    ],
)
def test_options_are_those_of_the_format(zoo, lab, arguments, words) -> None:
    lab()
    told = zoo("export", "cnn_digits", *arguments)
    assert told.code == 2 and words in told.err and told.err.count("\n") == 1, told


def test_each_installed_format_has_a_flag(lab, tmp_path) -> None:
    lab()
    site = tmp_path / "site-packages"
    text = in_a_process("export", "--help", site=site).stdout
    assert "Same as --format lite." in text and "Same as --format onnx." in text
    told = in_a_process("export", "cnn_digits", "--lite", "--onnx", site=site)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    assert "--lite and --onnx do not go together" in told.stderr or "--onnx and --lite do not go" in told.stderr


def test_without_a_default_exporter_a_format_must_be_named(zoo, lab, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "onnx")
    lab()
    told = zoo("export", "cnn_digits")
    assert told.code == 2 and "no format is named, and no exporter is the default; fix: add --format NAME" in told.err


def test_with_two_default_exporters_a_format_must_be_named(zoo, lab) -> None:
    lab(default=True)
    told = zoo("export", "cnn_digits")
    assert told.code == 2 and told.err.count("\n") == 1
    for words in ("no format is named", "lab/lite (zoo-lab)", "onnx/onnx (torch-zoo)", "fix: add --format NAME"):
        assert words in told.err
    told = zoo("export", "cnn_digits", "--format", "onnx")
    assert told.code == 4 and "train it first" in told.err


def test_a_broken_exporter_is_named_before_a_run_is_looked_for(zoo, lab) -> None:
    lab()
    told = zoo("export", "cnn_digits", "--format", "lite")
    assert told.code == 6 and "exporter 'lab/lite' could not be built" in told.err and "zoo-lab" in told.err
    assert told.err.count("\n") == 1


def test_the_options_of_a_format_are_described(zoo, lab) -> None:
    lab()
    assert "refuse what is slow" in zoo("info", "lite").out
    told = zoo("info", "onnx")
    assert told.code == 0 and "opset" in told.out
