"""What a network gives is read by the names that its spec declares, in whatever form it gives it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo.api import FEATURES, Output
from zoo.errors import PluginError
from zoo.models.named_outputs import OutputReader, due_shape, fits, shown

ONE, TWO = torch.zeros(2, 3), torch.ones(2, 3)
MAIN, EARLY, LOGITS = Output(), Output(name="early", auxiliary=0.3), Output(name="logits")


@pytest.mark.parametrize(
    ("declared", "given", "expected"),
    [
        ((MAIN,), ONE, {"output": ONE}),
        ((MAIN, EARLY), ONE, {"output": ONE}),
        ((EARLY, MAIN), ONE, {"output": ONE}),  # a lone tensor is the main output, wherever that stands
        ((MAIN, EARLY), (ONE, TWO), {"output": ONE, "early": TWO}),
        ((MAIN, EARLY), [ONE, TWO], {"output": ONE, "early": TWO}),
        ((MAIN, EARLY), (ONE,), {"output": ONE}),  # an auxiliary output may be left out
        ((EARLY, MAIN), (TWO, ONE), {"output": ONE, "early": TWO}),
        ((MAIN, EARLY), {"early": TWO, "output": ONE}, {"output": ONE, "early": TWO}),
        ((MAIN, EARLY), {"output": ONE}, {"output": ONE}),
        ((LOGITS, EARLY), {"logits": ONE, "early": TWO}, {"output": ONE, "early": TWO}),  # tasks call it "output"
        ((LOGITS, EARLY), ONE, {"output": ONE}),
    ],
)
def test_every_form_is_read_by_name_with_the_main_output_first(
    declared: tuple[Output, ...], given: Any, expected: dict[str, Tensor]
) -> None:
    reader = OutputReader(declared)
    found = reader.by_name(given)
    assert list(found) == list(expected)
    assert all(found[name] is value for name, value in expected.items())
    assert reader.main_of(given) is ONE


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"early": TWO}, "early"),
        ({"output": ONE, "late": TWO}, "output, late"),
        ({}, "nothing"),
        ((), "tuple of nothing"),
        ((ONE, TWO, TWO), "tuple of Tensor, Tensor, Tensor"),
        ((ONE, None), "tuple of Tensor, NoneType"),
        ({"output": 3.0}, r"output \(float\)"),
        (None, "NoneType"),
        (3.0, "float"),
        ("output", "str"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_says_what_came(given: Any, told: str) -> None:
    with pytest.raises(
        PluginError, match=rf"the network returns {told}, but its spec declares output, early"
    ) as caught:
        OutputReader((MAIN, EARLY)).by_name(given)
    assert "\n" not in str(caught.value)


def test_the_main_output_is_the_first_that_is_not_auxiliary() -> None:
    reader = OutputReader((EARLY, Output(name="map", kind="map"), Output(name="other")))
    assert reader.main.name == "map"
    assert reader.auxiliary == (EARLY,)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(1, 4, 3), nn.Linear(144, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(inputs).flatten(1))
        return logits


def test_features_are_the_input_of_the_head_where_they_are_asked_for() -> None:
    torch.manual_seed(0)
    model, inputs = Net().eval(), torch.randn(2, 1, 8, 8)
    with OutputReader(head="head", features=True).reading(model, model) as read:
        found = read(inputs)
        again = read(2 * inputs)
    torch.testing.assert_close(found[FEATURES], model.body(inputs).flatten(1))
    torch.testing.assert_close(again[FEATURES], model.body(2 * inputs).flatten(1))
    torch.testing.assert_close(found["output"], model(inputs))
    with OutputReader().reading(model, model) as read:
        assert set(read(inputs)) == {"output"}


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        ((MAIN, Output(name="middle", kind="features")), (ONE, TWO)),
        ((MAIN, Output(name="features", kind="features")), {"output": ONE, "features": TWO}),
        ((Output(name="embedding", kind="features"),), TWO),
    ],
)
def test_features_that_a_network_declares_are_its_own(declared: tuple[Output, ...], given: Any) -> None:
    model = Net()
    with OutputReader(declared, head="head", features=True).reading(model, lambda _inputs: given) as read:
        assert read(ONE)[FEATURES] is TWO


def test_features_of_what_is_left_behind_a_frozen_backbone_are_read_too() -> None:
    model = Net().eval()
    kept = model.body(torch.randn(2, 1, 8, 8)).flatten(1)
    with OutputReader(head="head", features=True).reading(model, model.head) as read:
        torch.testing.assert_close(read(kept)[FEATURES], kept)


def test_reading_leaves_no_hook_behind_even_after_an_error() -> None:
    model = Net()
    with pytest.raises(RuntimeError), OutputReader(head="head", features=True).reading(model, model) as read:
        read(torch.randn(2, 1, 3, 3))
    assert not model.head._forward_pre_hooks


@pytest.mark.parametrize(
    ("output", "due", "text", "good", "bad"),
    [
        (Output(), (2, 10), "(2, 10)", (2, 10), (2, 10, 1)),
        (Output(), (2, 10), "(2, 10)", (2, 10), (2, 9)),
        (Output(kind="map"), (2, 10, None, None), "(2, 10, H, W)", (2, 10, 7, 9), (2, 9, 7, 9)),
        (Output(kind="features"), (2, None), "(2, D)", (2, 64), (3, 64)),
    ],
)
def test_the_shape_that_is_due_says_what_fits_and_is_shown_with_letters(
    output: Output, due: tuple[int | None, ...], text: str, good: tuple[int, ...], bad: tuple[int, ...]
) -> None:
    assert due_shape(output, 10, 2) == due
    assert shown(due) == text
    assert fits(good, due) and not fits(bad, due)
