"""What a spec must say of itself, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from zoo.api import ArchitectureSpec, DatasetSpec, Output, TaskSpec


def network(**facts: Any) -> ArchitectureSpec:
    return ArchitectureSpec(name="net", summary="a net", target="lab:build", input=(3, 8, 8), **facts)


def task(**facts: Any) -> TaskSpec:
    return TaskSpec(name="sort", summary="sorts", **facts)


def test_the_main_output_is_the_first_that_is_not_auxiliary() -> None:
    outputs = (Output(name="early", auxiliary=0.3), Output(name="map", kind="map"), Output(name="more"))
    assert network(outputs=outputs).main_output.name == "map"
    assert network().main_output == Output()


def test_features_are_given_by_a_network_that_names_its_head() -> None:
    assert [network(head=head).gives("features") for head in (None, "fc")] == [False, True]
    assert [network().gives(kind) for kind in ("vector", "map")] == [True, False]
    assert network(outputs=(Output(name="embedding", kind="features"),)).gives("features")


def test_a_vector_or_a_map_is_what_the_main_output_is_since_tasks_read_that() -> None:
    both = network(outputs=(Output(), Output(name="mask", kind="map")))
    assert [both.gives(kind) for kind in ("vector", "map")] == [True, False]


@pytest.mark.parametrize(
    ("outputs", "why"),
    [
        ((Output(), Output(kind="map")), "two outputs have the same name"),
        ((Output(auxiliary=0.5),), "every output is auxiliary"),
        ((Output(name="logits"), Output(auxiliary=0.5)), "only the main output may be called 'output'"),
        ((Output(), Output(name="features")), "the output 'features' must be of the kind features, not vector"),
    ],
)
def test_outputs_that_make_no_sense_are_refused(outputs: tuple[Output, ...], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        network(outputs=outputs)


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({}, "this one has none of them"),
        ({"target": "a:B", "solver": "a:C"}, "this one has target and solver"),
        ({"target": "a:B", "default": True}, "a default task needs target and accepts"),
        ({"adaptations": ("x",), "options": "a:O"}, "leave options out"),
    ],
)
def test_a_task_is_one_of_three(facts: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        task(**facts)


def test_what_a_task_is_made_of_says_what_it_needs() -> None:
    learned, solved, made = task(target="a:B", accepts=("values",)), task(solver="a:C"), task(adaptations=("x",))
    assert [each.needs_architecture for each in (learned, solved, made)] == [True, False, True]
    assert [each.implementation for each in (learned, solved, made)] == ["a:B", "a:C", None]


def test_a_dataset_without_answers_is_not_labelled() -> None:
    base = {"name": "d", "summary": "d", "target": "a:b", "shape": (1, 8, 8), "mean": (0,), "std": (1,), "licence": "x"}
    assert DatasetSpec.model_validate(base).labelled
    assert not DatasetSpec.model_validate({**base, "targets": ("none",)}).labelled
