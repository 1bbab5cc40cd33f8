"""The task as it was named, the one that is learned, and the adaptations before it: decided from specs alone."""

from __future__ import annotations

from typing import Any

import pytest

from zoo.api import AdaptationSpec, DatasetSpec, Options, TaskSpec
from zoo.config.run_config import Section
from zoo.errors import ConfigError, UsageError
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Item, Registry
from zoo.runs.task_plan import TaskPlan, plan_task


class SortOptions(Options):
    """Of the task `sort`."""

    smoothing: float = 0.0


class FreezeOptions(Options):
    """Of the adaptation `freeze`."""

    layers: int = 1


class ThinOptions(Options):
    """Of the adaptation `thin`."""

    rank: int = 4


def dataset(*targets: str, name: str = "toy") -> DatasetSpec:
    return DatasetSpec.model_validate(
        {
            "name": name,
            "summary": "data",
            "target": "nowhere:open",
            "targets": targets,
            "shape": (1, 8, 8),
            "mean": (0,),
            "std": (1,),
            "licence": "CC0",
        }
    )


def adaptation(name: str, **facts: Any) -> AdaptationSpec:
    return AdaptationSpec(name=name, summary="a change", target="nowhere:Change", **facts)


def task(name: str, **facts: Any) -> TaskSpec:
    return TaskSpec(name=name, summary="a task", **facts)


@pytest.fixture
def tasks() -> Registry:
    here = Plugin("lab", "zoo-lab", "1.0", "zoo_lab")
    here.specs = {
        "task": [
            task("sort", target="n:T", options=f"{__name__}:SortOptions", accepts=("classes",), default=True),
            task("fit", target="n:T", accepts=("values", "opaque")),
            task("draw", target="n:T"),
            task("solve", solver="n:S"),
            task("solve_classes", solver="n:S", accepts=("classes",)),
            task("freeze", adaptations=("freeze",)),
            task("freeze_and_thin", adaptations=("freeze", "thin")),
        ],
        "adaptation": [
            adaptation("freeze", options=f"{__name__}:FreezeOptions", needs_weights=True, new_head=True),
            adaptation("thin", options=f"{__name__}:ThinOptions", same_inputs=True, computes="the rank of each layer"),
            adaptation("prune", computes="which channels stay"),
        ],
        "dataset": [dataset("classes"), dataset("none", name="bare"), dataset("values", "classes", name="both")],
    }
    return Registry([here], events=None)


def planned(registry: Registry, name: str, data: str = "toy", *adapt: str) -> TaskPlan:
    return plan_task(registry, registry.task(name), registry.dataset(data), adapt)


def names(items: Any) -> list[str]:
    return [item.spec.name for item in items]


# ---------------------------------------------------------------------------------------------------- what is learned


def test_a_task_with_a_target_is_learned_itself(tasks: Registry) -> None:
    plan = planned(tasks, "sort")
    assert plan.learned is plan.task is tasks.task("sort") and plan.adaptations == ()
    assert (plan.label, names(plan.items), plan.needs_architecture) == ("task sort", ["sort"], True)
    assert (plan.needs_weights, plan.new_head, plan.same_inputs, plan.computes) == (False, False, False, None)


def test_a_solver_learns_nothing_and_needs_no_network(tasks: Registry) -> None:
    plan = planned(tasks, "solve", "bare")
    assert plan.learned is None and not plan.needs_architecture and names(plan.items) == ["solve"]


def test_a_task_of_adaptations_is_the_default_task_of_the_target_after_them(tasks: Registry) -> None:
    plan = planned(tasks, "freeze_and_thin")
    assert plan.learned is not None and plan.learned.spec.name == "sort"
    assert names(plan.adaptations) == ["freeze", "thin"]
    assert names(plan.items) == ["freeze_and_thin", "sort", "freeze", "thin"]
    assert [item.kind for item in plan.items] == ["task", "task", "adaptation", "adaptation"]


def test_adaptations_go_under_any_task_in_the_order_of_the_task_then_of_the_configuration(tasks: Registry) -> None:
    assert names(planned(tasks, "sort", "toy", "thin", "freeze").adaptations) == ["thin", "freeze"]
    assert names(planned(tasks, "freeze", "toy", "prune").adaptations) == ["freeze", "prune"]


def test_what_adaptations_need_is_needed_by_the_plan(tasks: Registry) -> None:
    plan = planned(tasks, "sort", "toy", "thin", "prune")
    assert plan.computes == "the rank of each layer and which channels stay"
    assert (plan.needs_weights, plan.new_head, plan.same_inputs) == (False, False, True)
    both = planned(tasks, "sort", "toy", "freeze", "thin")
    # a new head learns other answers, so that the data need not be that of the weights
    assert (both.needs_weights, both.new_head, both.same_inputs) == (True, True, False)


# --------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    ("name", "data", "adapt", "words"),
    [
        ("sort", "bare", (), "task sort needs targets, but bare has none; fix: choose another dataset"),
        ("freeze", "bare", (), "task freeze needs targets, but bare has none; fix: choose another dataset"),
        (
            "fit",
            "toy",
            (),
            "task fit needs targets of kind `values` or `opaque`, but toy has `classes`; fix: choose another",
        ),
        ("solve_classes", "bare", (), "task solve_classes needs targets, but bare has none"),
        ("solve", "bare", ("thin",), "task solve has no network to adapt (adapt); fix: remove adapt"),
        ("sort", "toy", ("thinn",), "no adaptation is called 'thinn'; fix: did you mean thin?"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_reason(
    tasks: Registry, name: str, data: str, adapt: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError) as caught:
        planned(tasks, name, data, *adapt)
    assert words in str(caught.value) and len(caught.value.lines) == 1 and caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "data", "learned"),
    [("fit", "both", "fit"), ("sort", "both", "sort"), ("draw", "bare", "draw"), ("draw", "toy", "draw")],
)
def test_one_kind_in_common_is_enough_and_a_task_that_names_none_accepts_all(
    tasks: Registry, name: str, data: str, learned: str
) -> None:
    plan = planned(tasks, name, data)
    assert plan.learned is not None and plan.learned.spec.name == learned


def test_whether_a_task_needs_labels_stands_in_its_spec(tasks: Registry) -> None:
    needing = {name for name in ("sort", "fit", "draw", "solve", "freeze") if tasks.task(name).spec.needs_labels}
    assert needing == {"sort", "fit", "freeze"}
    assert not task("both", target="n:T", accepts=("classes", "none")).needs_labels


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"target": "n:T", "solver": "n:S"},
        {"target": "n:T", "adaptations": ("thin",)},
        {"adaptations": ("thin",), "options": "n:O"},
        {"solver": "n:S", "default": True},
        {"target": "n:T", "default": True},
    ],
)
def test_a_spec_that_is_not_one_of_the_three_is_no_task(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="task"):
        task("odd", **facts)


# --------------------------------------------------------------------------------------------------------- options


def test_each_part_gets_its_own_options(tasks: Registry) -> None:
    plan = planned(tasks, "freeze_and_thin", "toy", "thin", "prune")
    section = Section(name="lab/freeze_and_thin", smoothing=0.1, layers=3, rank=7)
    adapt = [Section(name="lab/thin", rank=2), Section(name="lab/prune")]
    assert plan.learned_options(section) == SortOptions(smoothing=0.1)
    assert plan.adaptation_options(section, adapt) == [
        FreezeOptions(layers=3),
        ThinOptions(rank=7),
        ThinOptions(rank=2),
        Options(),
    ]
    plain = planned(tasks, "sort")
    assert plain.learned_options(Section(name="lab/sort")) == SortOptions()
    assert plain.adaptation_options(Section(name="lab/sort"), []) == []
    assert planned(tasks, "solve").learned_options(Section(name="lab/solve")) == Options()


def test_a_misspelt_option_is_one_line_with_the_nearest_name(tasks: Registry) -> None:
    plan = planned(tasks, "sort", "toy", "thin")
    with pytest.raises(ConfigError, match=r"^task\.smothing: unknown key.*; fix: did you mean smoothing\?$"):
        plan.learned_options(Section(name="lab/sort", smothing=0.1))
    with pytest.raises(ConfigError, match=r"^adapt\.rnak: unknown key.*; fix: did you mean rank\?$"):
        plan.adaptation_options(Section(name="lab/sort"), [Section(name="lab/thin", rnak=1)])


def test_a_bare_name_of_an_adaptation_is_one_of_the_tasks_own_plugin(tasks: Registry) -> None:
    other = Plugin("other", "zoo-other", "1.0", "zoo_other", specs={"adaptation": [adaptation("freeze")]})
    both = Registry([*tasks.plugins, other], events=None)
    plan = plan_task(both, both.task("freeze"), both.dataset("toy"))
    assert [item.canonical for item in plan.adaptations] == ["lab/freeze"]


def test_items_name_every_plugin_that_takes_part(tasks: Registry) -> None:
    plan = planned(tasks, "freeze", "toy", "thin")
    assert {item.plugin.namespace for item in plan.items} == {"lab"} and all(isinstance(i, Item) for i in plan.items)
