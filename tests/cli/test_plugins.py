"""Planted plugins on the command line: clashes of names, other contracts, and runs whose plugin has changed."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

import zoo as package
from zoo.errors import PluginError
from zoo.registry.lookup import registry

RIVAL = """
from zoo.api import ArchitectureSpec, DatasetSpec, ExporterSpec, MetricSpec, RecipeSpec, TaskSpec, hookimpl

ZOO_API = "2.0"
COMMON = {"summary": "a rival"}

@hookimpl
def zoo_register_architectures():
    parts = dict(target="zoo_classics.cnn:build", options="zoo_classics.options:CNNOptions", input=(1, 28, 28))
    return [ArchitectureSpec(name="cnn", head="fc2", smallest=16, **parts, **COMMON)]

@hookimpl
def zoo_register_datasets():
    from zoo_datasets import DIGITS, zoo_register_datasets as theirs
    own = {"digits", "folder"}
    return [spec for spec in theirs() if spec.name in own]

@hookimpl
def zoo_register_tasks():
    from zoo_tasks import zoo_register_tasks as theirs
    return [spec for spec in theirs() if spec.default]

@hookimpl
def zoo_register_recipes():
    parts = dict(architecture="rival/cnn", dataset="rival/digits", task="rival/classification")
    return [RecipeSpec(name="cnn_digits", **parts, **COMMON)]

@hookimpl
def zoo_register_exporters():
    parts = dict(target="zoo_onnx.exporter:OnnxExporter", options="zoo_onnx.options:OnnxOptions", suffix=".onnx")
    return [ExporterSpec(name="onnx", **parts, **COMMON)]

@hookimpl
def zoo_register_metrics():
    return [MetricSpec(name="f1", target="zoo_rival.f1:build", **COMMON)]
"""
LAB = """
from zoo.api import ArchitectureSpec, hookimpl

ZOO_API = "2.0"

@hookimpl
def zoo_register_architectures():
    parts = dict(target="zoo_classics.cnn:build", options="zoo_classics.options:CNNOptions", input=(1, 28, 28))
    return [ArchitectureSpec(name=NAME, summary="a net", head="fc2", **parts)]
"""
BOTH = ("torch-zoo", "zoo-rival")
QUICK = ("--set", "train.epochs=1", "--set", "dataset.resize=16", "--batch-size", "256", "--device", "cpu")


@pytest.fixture
def rival(install, fresh_registry) -> None:
    install("zoo-rival", "rival", RIVAL)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["run", "cnn_digits"], ["classics/cnn_digits", "rival/cnn_digits"]),
        (["run", "cnn", "--data", "datasets/mnist"], ["classics/cnn", "rival/cnn"]),
        (["run", "fnn_mnist", "--arch", "cnn"], ["classics/cnn", "rival/cnn"]),
        (["run", "fnn_mnist", "--data", "digits"], ["datasets/digits", "rival/digits"]),
        (["run", "fnn_mnist", "--data", "folder:here"], ["datasets/folder", "rival/folder"]),
        (["run", "fnn_mnist", "--task", "classification"], ["tasks/classification", "rival/classification"]),
        (["run", "fnn", "--data", "datasets/mnist"], ["--task rival/classification", "--task tasks/classification"]),
        (["export", "fnn_mnist", "--onnx"], ["onnx/onnx", "rival/onnx"]),
        (["export", "fnn_mnist", "--format", "onnx"], ["onnx/onnx", "rival/onnx"]),
        (["data", "path", "digits"], ["datasets/digits", "rival/digits"]),
        (["show", "digits", "--out", "x.png"], ["datasets/digits", "rival/digits"]),
        (["gradients", "cnn"], ["classics/cnn", "rival/cnn"]),
        (["weights", "list", "cnn"], ["classics/cnn", "rival/cnn"]),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else None,
)
def test_a_bare_name_that_two_plugins_have_exits_2_and_names_both(zoo, rival, arguments, names) -> None:
    told = zoo(*arguments)
    assert told.code == 2, told
    for word in (*BOTH, *names):
        assert word in told.err
    assert told.err.startswith("error: ") and told.err.count("fix:") == 1


def test_a_configuration_with_an_ambiguous_name_names_both(zoo, rival, tmp_path) -> None:
    file = tmp_path / "config.yaml"
    parts = {"architecture": "cnn", "dataset": "rival/digits", "task": "tasks/classification"}
    file.write_text(yaml.safe_dump(parts), encoding="utf-8")
    told = zoo("run", "--config", str(file), "--dry-run")
    assert told.code == 2 and all(word in told.err for word in (*BOTH, "classics/cnn", "rival/cnn"))
    file.write_text(yaml.safe_dump({**parts, "architecture": "rival/cnn"}), encoding="utf-8")
    assert zoo("run", "--config", str(file), "--dry-run", "--device", "cpu").code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "rival/cnn_digits", "--dry-run"],
        ["run", "classics/cnn_digits", "--dry-run"],
        ["run", "rival/cnn", "--data", "datasets/digits", "--task", "rival/classification", "--dry-run"],
        ["data", "path", "rival/digits"],
        ["info", "rival/cnn"],
        ["info", "cnn_digits"],
        ["info", "rival/f1"],
        ["list", "metrics"],
        ["matrix", "--arch", "rival/cnn", "--data", "rival/digits"],
    ],
    ids=" ".join,
)
def test_whole_names_work(zoo, rival, arguments) -> None:
    told = zoo(*arguments)
    assert told.code == 0, told.err


def test_a_whole_name_works_before_a_path(zoo, rival, tmp_path) -> None:
    for name in ("dark", "bright"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for side in range(16, 20):
            Image.linear_gradient("L").resize((16, side)).save(tmp_path / "images" / name / f"{side}.png")
    told = zoo(
        "run", "classics/cnn", "--task", "tasks/classification", "--data", f"rival/folder:{tmp_path / 'images'}",
        "--dry-run", "--device", "cpu",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert "rival/folder:PATH" in zoo("run", "fnn_mnist", "--data", "rival/folder").err


def test_an_export_by_the_whole_name_of_its_exporter(zoo, rival, short, tmp_path) -> None:
    told = zoo("export", "cnn_digits/short", "--format", "onnx/onnx", "--out", str(tmp_path / "bundle"))
    assert told.code == 0, told.err
    assert (tmp_path / "bundle" / "model.onnx").is_file()


def test_metrics_are_listed_and_described(zoo, rival) -> None:
    assert "f1 a rival rival" in " ".join(zoo("list", "metrics").out.split())
    (row,) = json.loads(zoo("list", "metrics", "--json").out)
    assert (row["kind"], row["canonical"]) == ("metric", "rival/f1") and package.list_metrics() == ["rival/f1"]
    facts = zoo("info", "f1").out
    assert "targets" in facts and "classes" in facts and "more" in facts


def test_plugins_shows_contracts_and_what_to_upgrade(zoo, install, fresh_registry) -> None:
    install("zoo-new", "new", 'ZOO_API = "2.99"\n')
    install("zoo-silent", "silent", "")
    told = zoo("plugins")
    assert told.code == 0 and "new: incompatible: it needs plugin API 2.99" in told.out
    assert "fix: upgrade torch-zoo\n" in told.out
    assert (
        'silent: note: it states no plugin API version, and 2.0 is assumed; fix: ZOO_API = "2.0" in zoo_silent'
        in told.out
    )
    rows = {row["namespace"]: row for row in json.loads(zoo("plugins", "--json").out)}
    assert (rows["classics"]["contract"], rows["classics"]["note"]) == ("2.0", None)
    assert (rows["new"]["contract"], rows["silent"]["contract"]) == ("2.99", None) and rows["silent"]["note"]


# ---------------------------------------------------------------------------------------- runs whose plugin has changed


def replant(info: Path, source: str | None, version: str = "1.0") -> None:
    """Put another version of the plugin in the place of the one that is installed; None uninstalls it."""
    site = info.parent
    sys.modules.pop("zoo_lab", None)
    for path in site.glob("zoo_lab*"):
        shutil.rmtree(path)
    registry.cache_clear()
    if source is None:
        return
    (site / "zoo_lab").mkdir()
    (site / "zoo_lab" / "__init__.py").write_text(source, encoding="utf-8")
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: zoo-lab\nVersion: {version}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[zoo]\nlab = zoo_lab\n", encoding="utf-8")
    (info / "RECORD").write_text("zoo_lab/__init__.py,,\n", encoding="utf-8")


def test_a_run_whose_plugin_changed_says_so_wherever_it_is_opened(
    zoo, install, fresh_registry, tmp_path, monkeypatch
) -> None:
    source = LAB.replace("NAME", '"net"')
    info = install("zoo-lab", "lab", source)
    run = zoo("run", "lab/net", "--data", "digits", "--name", "one", *QUICK)
    assert run.code == 0, run.err
    image = str(next((tmp_path / "runs" / "net" / "one" / "samples").iterdir()))
    needing = [
        ["evaluate", "net/one"],
        ["predict", "net/one", image],
        ["export", "net/one", "--onnx", "--out", str(tmp_path / "bundle")],
        ["run", "--resume", "net/one"],
    ]
    looking = [["report", "net/one"], ["runs"]]
    states = {
        "gone": (None, "1.0", "the run was made with plugin 'lab' (zoo-lab 1.0), which is not installed"),
        "broken": ("1 / 0", "1.1", "plugin 'lab' is broken: importing zoo_lab raised ZeroDivisionError"),
        "renamed": (
            LAB.replace("NAME", '"other"'),
            "2.0",
            "no architecture is called 'lab/net': the run was made with",
        ),
    }
    for state, (planted, version, words) in states.items():
        replant(info, planted, version)
        for arguments in needing:
            told = zoo(*arguments)
            assert (told.code, told.err.count("\n")) == (6, 1), (state, arguments, told)
            assert words in told.err and "fix: pip install zoo-lab==1.0" in told.err
        with pytest.raises(PluginError, match=r"zoo-lab 1\.0"):
            package.load(tmp_path / "runs" / "net" / "one")
        for arguments in looking:
            told = zoo(*arguments)
            assert told.code == 0 and "zoo-lab 1.0" in told.err, (state, arguments, told)
        told = zoo("verify", "net/one")
        assert told.code == 0 and "zoo-lab 1.0" in told.out, (state, told)
        if state != "renamed":
            assert "install the plugins of the run first" in " ".join(told.out.split())

    replant(info, source, "2.0")
    note = "the run was made with zoo-lab 1.0, but zoo-lab 2.0 is installed: results may differ"
    for arguments in (*needing[:3], *looking):
        told = zoo(*arguments)
        assert told.code == 0 and note in told.err, (arguments, told)
    assert "zoo-lab 2.0 is installed" in " ".join(zoo("verify", "net/one").out.split())

    replant(info, source)
    told = zoo("evaluate", "net/one")
    assert told.code == 0 and "zoo-lab" not in told.err
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "lab")
    registry.cache_clear()
    told = zoo("evaluate", "net/one")
    assert told.code == 6 and told.err.endswith("fix: take lab out of ZOO_DISABLE_PLUGINS\n")
