"""list, info, plugins: what is here, from whom, and what is wrong with a plugin that is not."""

from __future__ import annotations

import json

import pytest

from zoo.registry.lookup import registry

BROKEN = "raise RuntimeError('it is raining')"
EXITING = "raise SystemExit(3)"
TWIN = """
from zoo.api import ArchitectureSpec, hookimpl

@hookimpl
def zoo_register_architectures():
    parts = dict(target="zoo_twin.net:build", options="zoo_twin.missing:Options", input=(1, 8, 8))
    return [ArchitectureSpec(name="cnn", summary="another", **parts)]
"""
FLOCK = """
from zoo.api import ArchitectureSpec, FamilySpec, hookimpl

@hookimpl
def zoo_register_families():
    return [FamilySpec(name="flock", summary="birds of a feather", target="zoo_sky:FAMILY", examples=("robin",))]

class Flock:
    version = "1"

    def names(self):
        {names}

    def spec(self, name):
        parts = dict(target="zoo_classics.cnn:build", options="zoo_classics.options:CNNOptions", input=(1, 28, 28))
        return ArchitectureSpec(name=name, summary="a robin", **parts)

FAMILY = Flock()
"""
KNOWN = """
from zoo.api import Expected, RecipeSpec, hookimpl

@hookimpl
def zoo_register_recipes():
    known = Expected(mean=0.975, sd=0.004, seeds=5, seconds=75, device="one core")
    parts = {"architecture": "classics/cnn", "dataset": "datasets/digits", "task": "tasks/classification"}
    return [RecipeSpec(name="digits_fast", summary="x", expected=known, **parts)]
"""


def test_list_shows_every_kind_with_its_items_and_their_plugin(zoo) -> None:
    told = zoo("list")
    assert told.code == 0 and told.err == ""
    titles = [line for line in told.out.splitlines() if line and not line.startswith(" ")]
    kinds = ("architecture", "dataset", "task", "adaptation", "recipe", "exporter", "augmentation")
    assert titles == [f"{kind}s" for kind in kinds]
    for kind in kinds:
        for item in registry().items(kind):
            assert any(
                line.split()[0] == item.spec.name and item.spec.summary in line
                for line in told.out.splitlines()
                if line.strip()
            )
    assert all(item.plugin.namespace in told.out for item in registry().items("architecture"))


def test_a_family_is_one_line_until_it_is_asked_for(zoo, install, fresh_registry) -> None:
    install("zoo-sky", "sky", FLOCK.format(names="return ['robin', 'wren']"))
    assert [line.split()[0] for line in zoo("list").out.splitlines() if "birds of a feather" in line] == ["sky/*"]
    for arguments in (["sky/*"], ["--plugin", "sky"], ["robin"], ["*/rob*"]):
        lines = zoo("list", "architectures", *arguments).out.splitlines()[1:]
        assert [line.split()[0] for line in lines][:1] == ["sky/robin"], arguments
    rows = json.loads(zoo("list", "architectures", "wren", "--json").out)
    assert [(row["kind"], row["name"], row["canonical"], row["plugin"]) for row in rows] == [
        ("architecture", "wren", "sky/wren", "sky")
    ]
    told = zoo("info", "sky/*")
    assert told.code == 0 and "2; zoo list architectures 'sky/*' lists them" in told.out
    assert "a robin" in zoo("info", "robin").out
    assert next(row for row in json.loads(zoo("plugins", "--json").out) if row["namespace"] == "sky")["gives"] == {
        "families": ["flock"]
    }


def test_a_family_that_cannot_be_listed_stops_no_command(zoo, install, fresh_registry) -> None:
    install("zoo-sky", "sky", FLOCK.format(names="raise OSError('the sources are gone')"))
    told = zoo("list", "architectures", "*robin*")
    assert told.code == 0 and "note: family 'sky/*' could not be listed: OSError: the sources are gone" in told.err
    told = zoo("run", "sky/robin", "--data", "digits")
    assert told.code == 6 and "the sources are gone" in told.err
    told = zoo("info", "sky/*")
    assert told.code == 0 and "the sources are gone" in told.err


@pytest.mark.parametrize("kind", ["recipes", "recipe"])
def test_list_of_a_kind_takes_plural_and_singular(zoo, kind) -> None:
    lines = zoo("list", kind).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [item.spec.name for item in registry().items("recipe")]


@pytest.mark.parametrize("pattern", ["*_mnist", "classics/*_mnist"])
def test_a_pattern_chooses_by_bare_or_canonical_name(zoo, pattern) -> None:
    lines = zoo("list", "recipes", pattern).out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["cnn_mnist", "fnn_mnist"]


def test_a_plain_word_is_looked_for_inside_names(zoo) -> None:
    lines = zoo("list", "recipes", "permuted").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["cnn_mnist_permuted", "fnn_mnist_permuted"]


def test_what_matches_nothing_is_said_and_is_no_error(zoo) -> None:
    assert zoo("list", "recipes", "zzz") == (0, "", "no component matches this name\n")
    assert json.loads(zoo("list", "recipes", "zzz", "--json").out) == []


def test_list_json_holds_the_same_items(zoo) -> None:
    rows = json.loads(zoo("list", "--plugin", "datasets", "--json").out)
    assert [(row["kind"], row["canonical"]) for row in rows] == [
        ("dataset", item.canonical) for item in registry().items("dataset")
    ]
    assert all(row["distribution"] == "torch-zoo" for row in rows)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["recipies"], "no kind of item is called 'recipies'; fix: did you mean recipes"),
        (["cnn*"], "'cnn*' stands where the kind is due; fix: for example `zoo list recipes 'cnn*'`"),
        (["zzz"], "no kind of item is called 'zzz'; fix: choose one of: architectures"),
        (["--plugin", "clasics"], "no plugin is called 'clasics'; fix: did you mean classics"),
    ],
)
def test_a_wrong_kind_or_plugin_is_answered_with_the_right_ones(zoo, arguments, line) -> None:
    told = zoo("list", *arguments)
    assert told.code == 2 and told.err.startswith(f"error: {line}")


@pytest.mark.parametrize(
    ("source", "cause"),
    [(BROKEN, "RuntimeError: it is raining"), (EXITING, "SystemExit: 3")],
    ids=["case-19", "case-20"],
)
def test_a_broken_plugin_is_named_and_stops_no_command(zoo, install, fresh_registry, source, cause) -> None:
    install("zoo-rain", "rain", source)
    listed = zoo("list", "recipes")
    assert listed.code == 0 and "cnn_digits" in listed.out
    assert listed.err == "note: 1 plugin could not be loaded (rain); see `zoo plugins`\n"
    assert zoo("list", "recipes", "--json").code == 0
    shown = zoo("plugins")
    assert shown.code == 0 and f"rain: broken: importing zoo_rain raised {cause}" in shown.out
    row = next(row for row in json.loads(zoo("plugins", "--json").out) if row["namespace"] == "rain")
    assert (row["state"], row["gives"]) == ("broken", {}) and cause in row["cause"]
    for arguments in (["list", "--plugin", "rain"], ["info", "rain/net"], ["run", "rain/net"]):
        told = zoo(*arguments)
        assert told.code == 6 and cause in told.err, arguments
    assert zoo("run", "cnn_digits", "--data", "nothing").code == 2


def test_a_disabled_plugin_is_no_fault(zoo, monkeypatch, fresh_registry) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "classics")
    assert zoo("list", "recipes", "cnn_*") == (0, "", "no component matches this name\n")
    assert "classics: disabled: named in ZOO_DISABLE_PLUGINS" in zoo("plugins").out


def test_a_name_that_two_plugins_have_is_shown_in_full(zoo, install, fresh_registry) -> None:
    install("zoo-twin", "twin", TWIN)
    names = [line.split()[0] for line in zoo("list", "architectures").out.splitlines()[1:]]
    assert [name for name in names if "/" in name and "*" not in name] == ["classics/cnn", "twin/cnn"]
    told = zoo("info", "cnn", "--json")
    assert [row["canonical"] for row in json.loads(told.out)] == ["classics/cnn", "twin/cnn"]


def test_info_goes_on_where_a_part_cannot_be_told(zoo, install, fresh_registry) -> None:
    install("zoo-twin", "twin", TWIN)
    told = zoo("info", "twin/cnn")
    assert told.code == 0 and "another" in told.out
    assert "note: architecture 'twin/cnn' could not be loaded" in told.err


def test_plugins_counts_what_each_gives(zoo) -> None:
    lines = {line.split()[0]: line for line in zoo("plugins").out.splitlines()}
    assert lines["datasets"].endswith(f"{len(registry().items('dataset'))} datasets") and " ok " in lines["datasets"]


def test_info_of_an_architecture_counts_its_parameters(zoo) -> None:
    told = zoo("info", "cnn")
    assert told.code == 0
    for text in ("architecture classics/cnn", "parameters            6,422", "1×28×28", "n_features  integer ≥ 1  6"):
        assert text in told.out
    (facts,) = json.loads(zoo("info", "fnn", "--json").out)
    assert facts["network"]["parameters"] == 6442
    assert facts["options"] == [
        {
            "name": "hidden",
            "type": "integer ≥ 1",
            "required": False,
            "default": 8,
            "description": "units in each of the two hidden layers",
        }
    ]


def test_info_of_a_recipe_shows_its_configuration(zoo) -> None:
    told = zoo("info", "cnn_mnist")
    assert "batch_size: 64" in told.out and "zoo run cnn_mnist" in told.out
    (facts,) = json.loads(zoo("info", "classics/cnn_mnist", "--json").out)
    assert facts["configuration"]["train"]["momentum"] == 0.5


def test_info_of_a_recipe_shows_the_figure_it_is_known_to_reach(zoo, install, fresh_registry) -> None:
    install("zoo-known", "known", KNOWN)
    told = zoo("info", "digits_fast").out
    assert "accuracy 97.50% ± 0.40% (mean ± standard deviation over 5 seeds)" in told
    assert "1 min 15 s on one core" in told


def test_info_of_a_dataset_says_which_files_are_here(zoo, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    name = "MNIST/raw/t10k-labels-idx1-ubyte.gz"
    (tmp_path / "MNIST" / "raw").mkdir(parents=True)
    (tmp_path / name).write_bytes(b"x")
    (facts,) = json.loads(zoo("info", "mnist", "--json").out)
    assert {file["path"]: file["present"] for file in facts["files"]}[name] is True
    assert sum(file["present"] for file in facts["files"]) == 1
    told = zoo("info", "mnist").out
    assert "11.6 MB" in told and "https://" in told and facts["licence"] in told
    assert "files      3 of 4 files missing; `zoo data download mnist` downloads them\n" in told
    assert {line.split()[2] for line in told.splitlines() if line.startswith("  MNIST/")} == {"yes", "no"}
    assert "none: included with an installed package" in zoo("info", "digits").out


@pytest.mark.parametrize("name", ["classification", "onnx", "crop"])
def test_info_knows_tasks_exporters_and_augmentations(zoo, name) -> None:
    told = zoo("info", name)
    assert told.code == 0 and f"/{name}" in told.out.splitlines()[0]


def test_info_of_a_task_says_what_it_needs_and_which_targets_it_accepts(zoo) -> None:
    facts = {name: json.loads(zoo("info", name, "--json").out) for name in ("classification", "svd_compress")}
    for (task,), weights in zip(facts.values(), (False, True), strict=True):
        assert (task["needs_architecture"], task["needs_labels"], task["needs_weights"]) == (True, True, weights)
    lines = zoo("info", "classification").out.splitlines()
    assert "needs    architecture, labels" in lines and "targets  classes" in lines
    assert "adaptations  svd" in zoo("info", "svd_compress").out
    found = json.loads(zoo("info", "svd_image", "--json").out)  # a recipe has that name too
    solved = next(facts for facts in found if facts["kind"] == "task")
    assert not any(solved[f"needs_{what}"] for what in ("architecture", "labels", "weights"))


def test_info_of_an_adaptation_says_what_it_starts_from(zoo) -> None:
    told = zoo("info", "svd/svd")
    assert told.code == 0 and told.out.startswith("adaptation svd/svd")
    assert "needs     weights" in told.out and "computes  the form and the rank of each layer" in told.out
    assert "data      that the weights were trained on" in told.out
    assert "options (adapt: [svd: {NAME: VALUE}])" in told.out and "budget" in told.out


OUTPUTS = """
from zoo.api import ArchitectureSpec, DatasetSpec, Output, hookimpl

@hookimpl
def zoo_register_architectures():
    outputs = (Output(kind="map", name="mask"), Output(kind="map", name="early", auxiliary=0.4))
    parts = dict(target="zoo_maps.net:build", input=(1, 8, 8), outputs=outputs)
    return [ArchitectureSpec(name="maps", summary="a map of every image", **parts)]

@hookimpl
def zoo_register_datasets():
    parts = dict(shape=(1, 8, 8), mean=(0.5,), std=(0.5,), licence="CC0", targets=("values", "mask"))
    return [DatasetSpec(name="fields", summary="numbers, or masks", target="zoo_maps.data:open", **parts)]
"""


def test_info_names_outputs_and_targets_of_other_kinds(zoo, install, fresh_registry) -> None:
    install("zoo-maps", "maps", OUTPUTS)
    assert "outputs  mask: map, early: map, auxiliary (weight 0.4)" in zoo("info", "maps/maps").out
    told = zoo("info", "fields").out
    assert "targets    values or mask" in told and "found on opening" not in told
    assert "targets    classes" in zoo("info", "digits").out and "outputs" not in zoo("info", "cnn").out


def test_info_of_an_unknown_name_proposes_the_nearest(zoo) -> None:
    told = zoo("info", "cnn_digit")
    assert told.code == 2 and told.err.startswith("error: no item is called 'cnn_digit'; fix: did you mean cnn_digits")
    assert zoo("info", "zzzzz").err == "error: no item is called 'zzzzz'; fix: see `zoo list`\n"
