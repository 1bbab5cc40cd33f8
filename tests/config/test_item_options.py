"""Options reach an implementation as one checked object: an unknown, renamed or dropped one is one line with the
nearest name, in a recipe, in a configuration and in an old run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from torch import nn

from zoo.api import (
    AdaptationSpec,
    ArchitectureSpec,
    DatasetSpec,
    Exporter,
    ExporterSpec,
    ExportJob,
    FileFacts,
    Options,
    RecipeSpec,
    Runner,
    TaskSpec,
)
from zoo.config import item_options
from zoo.config.item_options import (
    adaptations_of,
    build_exporter,
    checked,
    default_task,
    options_of,
    own_options,
    task_options_model,
)
from zoo.config.run_config import RunConfig, Section
from zoo.data.preprocessing import Preprocessing
from zoo.errors import ConfigError, PluginError, UsageError, ZooError
from zoo.models.building import build_model
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Item, Registry
from zoo.runs import checkpoints
from zoo.runs.load_model import load_run
from zoo.runs.resolve_config import resolve
from zoo.workflows.run import run as run_again


class NetOptions(Options):
    """Of the architecture `net`."""

    width: int = Field(8, ge=1)
    kernel: tuple[int, ...] = (3, 3)


class SortOptions(Options):
    """Of the task `sort`."""

    smoothing: float = 0.0


class FreezeOptions(Options):
    """Of the adaptation `freeze`."""

    layers: int = 1


class ThinOptions(Options):
    """Of the adaptation `thin`."""

    rank: int = 4


class ClashingOptions(Options):
    """Of the adaptation `clash`, with an option that `sort` has too."""

    smoothing: float = 1.0


class DataOptions(Options):
    """Of the dataset `toy`."""

    sides: int = 4


def reference(model: type[Options]) -> str:
    return f"{__name__}:{model.__name__}"


def task(name: str, **facts: Any) -> TaskSpec:
    return TaskSpec(name=name, summary="a task", **facts)


def adaptation(name: str, model: type[Options]) -> AdaptationSpec:
    return AdaptationSpec(name=name, summary="a change", target="nowhere:Change", options=reference(model))


def dataset(name: str, *targets: str, **facts: Any) -> DatasetSpec:
    values = {"summary": "data", "target": "nowhere:open", "shape": (1, 8, 8), "mean": (0,), "std": (1,)}
    return DatasetSpec.model_validate({"name": name, **values, "targets": targets, "licence": "CC0", **facts})


def recipe(name: str, named: str = "sort", **parameters: Any) -> RecipeSpec:
    return RecipeSpec(name=name, summary="works", architecture="net", dataset="toy", task=named, parameters=parameters)


SORT = task("sort", target="nowhere:Sort", options=reference(SortOptions), accepts=("classes",), default=True)


def catalogue(*more: Plugin, recipes: tuple[RecipeSpec, ...] = ()) -> Registry:
    net = ArchitectureSpec(
        name="net", summary="a net", target="nowhere:build", input=(1, 8, 8), options=reference(NetOptions)
    )
    specs: dict[str, Any] = {
        "architecture": [net, net.model_copy(update={"name": "plain", "options": None})],
        "dataset": [
            dataset("toy", "classes", classes=("a", "b"), options=reference(DataOptions)),
            dataset("numbers", "values"),
            dataset("bare", "none"),
            dataset("either", "values", "classes"),
        ],
        "task": [
            SORT,
            task("freeze", adaptations=("freeze",)),
            task("freeze_and_thin", adaptations=("freeze", "thin")),
            task("clash", adaptations=("clash",)),
            task("twice", adaptations=("thin", "thin")),
        ],
        "adaptation": [
            adaptation("freeze", FreezeOptions),
            adaptation("thin", ThinOptions),
            adaptation("clash", ClashingOptions),
        ],
        "recipe": recipes,
    }
    return Registry([Plugin("lab", "zoo-lab", "1.0", "zoo_lab", specs=specs), *more], events=None)


def second(*specs: TaskSpec) -> Plugin:
    return Plugin("other", "zoo-other", "2.0", "zoo_other", specs={"task": list(specs)})


# ------------------------------------------------------------------------------------------ the object of options


def test_the_implementation_gets_an_object_with_every_default() -> None:
    net = catalogue().architecture("net")
    assert options_of(net, {}) == NetOptions()
    assert options_of(net, {"width": "3", "kernel": [5]}) == NetOptions(width=3, kernel=(5,))
    assert options_of(catalogue().architecture("plain"), {}) == Options()


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"widht": 3}, "architecture.widht: unknown key; fix: did you mean width?"),
        ({"Kernel": 3}, "architecture.Kernel: unknown key; fix: did you mean kernel?"),
        ({"xyzzy": 3}, "architecture.xyzzy: unknown key; fix: choose one of: width, kernel"),
        ({"width": 0}, "architecture.width: must be greater than or equal to 1, not 0"),
        ({"width": "wide"}, "architecture.width: must be a valid integer, not 'wide'"),
        ({"kernel": 3}, "architecture.kernel: must be a valid tuple, not 3"),
    ],
)
def test_a_wrong_option_is_one_line_with_the_nearest_name(values: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        options_of(catalogue().architecture("net"), values)
    assert caught.value.problems == [line] and caught.value.exit_code == 2


def test_each_wrong_option_has_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        options_of(catalogue().architecture("net"), {"width": 0, "kernl": 1})
    assert len(caught.value.problems) == 2 and len(caught.value.lines) == 3


def test_an_item_without_options_says_so() -> None:
    with pytest.raises(
        ConfigError, match=r"architecture\.width: unknown key.*fix: remove it: there are no options here"
    ):
        options_of(catalogue().architecture("plain"), {"width": 3})


def test_keys_that_are_known_beside_the_options_are_proposed() -> None:
    with pytest.raises(ConfigError, match=r"dataset\.resise: unknown key.*; fix: did you mean resize\?"):
        checked(DataOptions, {"resise": 3}, "dataset", ["resize", "scale"])


def test_options_of_items_that_share_a_section_are_told_apart_and_a_key_of_none_is_refused() -> None:
    registry = catalogue()
    freeze, thin = registry.adaptation("freeze"), registry.adaptation("thin")
    values = {"layers": 3, "rank": 2}
    assert own_options(freeze, values, "task", [freeze, thin]) == FreezeOptions(layers=3)
    assert own_options(thin, values, "task", [freeze, thin]) == ThinOptions(rank=2)
    for key, words in (("rnak", "did you mean rank"), ("layer", "did you mean layers"), ("xy", "choose one of")):
        with pytest.raises(ConfigError, match=rf"^task\.{key}: unknown key.*fix: {words}"):
            own_options(freeze, {**values, key: 1}, "task", [freeze, thin])


# ------------------------------------------------------------------- a recipe, a configuration, Python, an old run


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"architecture": {"widht": 3}}, "architecture.widht: unknown key; fix: did you mean width?"),
        ({"dataset": {"side": 3}}, "dataset.side: unknown key; fix: did you mean sides?"),
        ({"task": {"smothing": 0.1}}, "task.smothing: unknown key; fix: did you mean smoothing?"),
        ({"adapt": [{"thin": {"rnak": 3}}]}, "adapt.rnak: unknown key; fix: did you mean rank?"),
        ({"architecture": {"name": "plain", "width": 3}}, "architecture.width: unknown key; fix: remove it"),
    ],
)
@pytest.mark.parametrize("where", ["recipe", "file", "overrides"])
def test_a_misspelt_option_is_one_line_wherever_it_stands(
    tmp_path: Path, where: str, section: dict[str, Any], line: str
) -> None:
    registry = catalogue(recipes=(recipe("right"), recipe("wrong", **section)))
    with pytest.raises(ConfigError) as caught:
        if where == "recipe":
            resolve(registry, "wrong")
        elif where == "file":
            from zoo.support.yaml_files import write_yaml

            (tmp_path / "my.yaml").write_text(write_yaml({"recipe": "right", **section}), encoding="utf-8")
            resolve(registry, file=tmp_path / "my.yaml")
        else:
            resolve(registry, "right", overrides=section)
    assert len(caught.value.problems) == 1 and caught.value.problems[0].startswith(line)
    assert len(caught.value.lines) == 1 and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("named", "option", "words"),
    [
        ("freeze", {"layer": 2}, "task.layer: unknown key; fix: did you mean layers?"),
        ("freeze", {"smothing": 2}, "task.smothing: unknown key; fix: did you mean smoothing?"),
        ("freeze_and_thin", {"rnk": 2}, "task.rnk: unknown key; fix: did you mean rank?"),
        ("freeze", {"rank": 2}, "task.rank: unknown key; fix: choose one of:"),
    ],
)
def test_a_task_of_adaptations_has_their_options_and_those_of_the_task_that_is_learned(
    named: str, option: dict[str, Any], words: str
) -> None:
    registry = catalogue(recipes=(recipe("made", named),))
    assert resolve(registry, "made").config.task.options == {
        "smoothing": 0.0,
        "layers": 1,
        **({"rank": 4} if named == "freeze_and_thin" else {}),
    }
    with pytest.raises(ConfigError) as caught:
        resolve(registry, "made", overrides={"task": option})
    assert len(caught.value.problems) == 1 and caught.value.problems[0].startswith(words)


def test_a_network_is_built_from_checked_options_alone() -> None:
    with pytest.raises(ConfigError, match=r"^architecture\.widht: unknown key; fix: did you mean width\?$"):
        build_model(catalogue(), Section(name="lab/net", widht=3), in_channels=1, num_outputs=2, image_size=(8, 8))


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (
            {"architecture": {"name": "classics/cnn", "n_featurs": 4}},
            "architecture.n_featurs: unknown key ({run}); fix: did you mean n_features?",
        ),
        (
            {"task": {"name": "tasks/classification", "label_smothing": 0.1}},
            "task.label_smothing: unknown key ({run}); fix: did you mean label_smoothing?",
        ),
        (
            {"task": {"name": "tasks/transfer", "label_smothing": 0.1}, "weights": "mnist"},
            "task.label_smothing: unknown key ({run}); fix: did you mean label_smoothing?",
        ),
        (
            {"adapt": [{"name": "tasks/lora", "rnk": 4}], "weights": "mnist"},
            "adapt.rnk: unknown key ({run}); fix: did you mean rank?",
        ),
    ],
)
def test_an_option_of_an_old_run_that_its_plugin_does_not_have_any_more_is_one_line(
    made_run: Callable[..., Any], config: dict[str, Any], line: str
) -> None:
    names = {"architecture": "classics/cnn", "dataset": "datasets/digits", "task": "tasks/classification"}
    sections = {**{section: {"name": name} for section, name in names.items()}, **config}
    record = {**names, "task": sections["task"]["name"], "adaptations": [{}], "status": "interrupted"}
    preprocessing = Preprocessing(channels=1, height=28, width=28, mean=(0.5,), std=(0.5,))
    run = made_run("old", config=sections, **record, preprocessing=preprocessing)
    checkpoints.save(run, 1, nn.Linear(1, 1), {}, {})
    due = line.format(run=run.path)
    with pytest.raises(ConfigError) as caught:
        load_run(run)
    assert str(caught.value) == due
    with pytest.raises(ConfigError) as caught:
        run_again(resume=run.path)
    assert str(caught.value) == due


# -------------------------------------------------------------------------------------------------------- collisions


@pytest.mark.parametrize(("name", "option"), [("clash", "smoothing"), ("twice", "rank")])
def test_two_parts_of_a_task_with_one_option_are_the_plugins_fault(name: str, option: str) -> None:
    registry = catalogue()
    with pytest.raises(PluginError) as caught:
        task_options_model(registry, registry.task(name))
    assert str(caught.value) == (
        f"two components of task 'lab/{name}' have an option '{option}' (zoo-lab); "
        "fix: report it to the authors of zoo-lab"
    )


def test_an_adaptation_that_is_added_has_a_section_of_its_own_and_clashes_with_nothing() -> None:
    plan = resolve(
        catalogue(),
        overrides={
            "architecture": "net",
            "dataset": "toy",
            "task": {"name": "sort", "smoothing": 0.2},
            "adapt": [{"clash": {"smoothing": 0.5}}, "thin", {"name": "thin", "rank": 9}],
        },
    )
    assert plan.learned_options == SortOptions(smoothing=0.2)
    assert plan.adaptation_options == [ClashingOptions(smoothing=0.5), ThinOptions(), ThinOptions(rank=9)]
    assert [section.name for section in plan.config.adapt] == ["lab/clash", "lab/thin", "lab/thin"]


def test_the_model_of_a_plain_task_is_its_own_and_of_adaptations_has_every_field_once() -> None:
    registry = catalogue()
    assert task_options_model(registry, registry.task("sort")) is SortOptions
    model = task_options_model(registry, registry.task("freeze_and_thin"))
    assert sorted(model.model_fields) == ["layers", "rank", "smoothing"]
    assert issubclass(model, Options) and model().model_dump() == {"layers": 1, "rank": 4, "smoothing": 0.0}


# ------------------------------------------------------------------------------------------------- the default task


def test_the_default_is_that_of_the_first_kind_that_has_one() -> None:
    registry = catalogue(second(task("fit", target="n:F", accepts=("values",), default=True)))
    assert default_task(registry, ("classes",)).canonical == "lab/sort"
    assert default_task(registry, ("values", "classes")).canonical == "other/fit"
    assert default_task(catalogue(), ("values", "classes")).canonical == "lab/sort"
    config = resolve(registry, overrides={"architecture": "net", "dataset": "numbers"}).config
    assert config.task.name == "other/fit"


def test_two_defaults_for_one_kind_are_an_error_that_names_both_packages_and_the_way_out() -> None:
    registry = catalogue(second(task("rank", target="n:R", accepts=("classes",), default=True)))
    with pytest.raises(UsageError) as caught:
        resolve(registry, overrides={"architecture": "net", "dataset": "toy"})
    assert str(caught.value) == (
        "no task is given, but other/rank (zoo-other) and lab/sort (zoo-lab) are each the default for classes; fix: "
        "add --task other/rank or --task lab/sort"
    )
    assert caught.value.exit_code == 2
    with pytest.raises(UsageError, match="task freeze trains the default task, but other/rank"):
        resolve(registry, overrides={"architecture": "net", "dataset": "toy", "task": "freeze"})
    for name in ("lab/sort", "other/rank"):
        given = {"architecture": "net", "dataset": "toy", "task": name}
        assert resolve(registry, overrides=given).config.task.name == name
    # of another kind there is no clash
    assert resolve(
        registry, overrides={"dataset": "numbers", "architecture": "net", "task": "rank"} | {"dataset": "either"}
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"dataset": "numbers"},
            "no task is given, but no installed task is the default for values; fix: add --task NAME",
        ),
        ({"dataset": "bare"}, "task sort needs targets, but bare has none; fix: choose another dataset"),
        (
            {"dataset": "numbers", "task": "freeze_and_thin"},
            (
                "task freeze_and_thin trains the default task, but no installed task is the default for values; "
                "fix: add --task NAME (see `zoo list tasks`), and --set adapt=[freeze,thin]"
            ),
        ),
        (
            {"dataset": "bare", "task": "freeze"},
            "task freeze needs targets, but bare has none; fix: choose another dataset",
        ),
    ],
)
def test_where_there_is_no_default_the_reason_is_said(given: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve(catalogue(), overrides={"architecture": "net", **given})
    assert str(caught.value).startswith(words) and len(caught.value.lines) == 1


def test_a_default_for_images_without_targets_is_taken() -> None:
    registry = catalogue(second(task("rebuild", target="n:R", accepts=("none",), default=True)))
    config = resolve(registry, overrides={"architecture": "net", "dataset": "bare"}).config
    assert config.task.name == "other/rebuild"


def test_adaptations_of_a_task_are_those_of_its_own_plugin_where_it_has_them() -> None:
    registry = catalogue(
        Plugin("other", "zoo-other", "2.0", "zoo_other", specs={"adaptation": [adaptation("thin", ThinOptions)]})
    )
    found = adaptations_of(registry, registry.task("freeze_and_thin"))
    assert [item.canonical for item in found] == ["lab/freeze", "lab/thin"]


# --------------------------------------------------------------------------------------------------- the exporter


def test_an_exporter_is_built_from_an_object_of_its_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    class Flat(Exporter[ThinOptions]):
        def write(self, job: ExportJob, path: Path) -> None: ...

        def check(self, path: Path, job: ExportJob | None) -> FileFacts:
            return FileFacts(0)

        def open(self, path: Path, provider: str, threads: int | None = None) -> Runner:
            raise NotImplementedError

    monkeypatch.setattr(item_options, "load_object", lambda _reference, _item: Flat)
    spec = ExporterSpec(name="flat", summary="x", target="n:b", suffix=".flat", options=reference(ThinOptions))
    made = build_exporter(Item("exporter", spec, Plugin("lab", "zoo-lab", "1.0", "zoo_lab")))
    assert made.options == ThinOptions()


def test_a_section_under_adapt_is_a_name_or_a_name_with_options() -> None:
    base = {"dataset": {"name": "toy"}, "task": {"name": "sort"}}
    read = RunConfig.model_validate({**base, "adapt": ["a", {"b": {"rank": 1}}, {"name": "c", "rank": 2}, {"d": None}]})
    assert [(each.name, each.options) for each in read.adapt] == [
        ("a", {}),
        ("b", {"rank": 1}),
        ("c", {"rank": 2}),
        ("d", {}),
    ]
    assert RunConfig.model_validate(read.as_dict()) == read


def test_options_that_are_no_options_are_the_plugins_fault() -> None:
    spec = AdaptationSpec(name="odd", summary="x", target="n:A", options=f"{__name__}:catalogue")
    with pytest.raises(ZooError, match=r"are no zoo\.api\.Options"):
        options_of(Item("adaptation", spec, Plugin("lab", "zoo-lab", "1.0", "zoo_lab")), {})
