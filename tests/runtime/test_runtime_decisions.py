"""How `zoo.runtime` makes answers of outputs, by the kind of the decision, beside torch and Pillow."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoo import runtime
from zoo.contract import decisions
from zoo.contract.decisions import Affine, Decision, Embedding, PixelArgmax, Raw, Sigmoid, Softmax

CLASSES = ("cat", "=dog", "owl")
OUTPUTS = np.random.default_rng(0).normal(0, 3, (5, 3)).astype(np.float32)
MAP = np.random.default_rng(1).normal(0, 3, (2, 3, 4, 6)).astype(np.float32)
SPEC: dict[str, Any] = {
    "channels": 1,
    "height": 4,
    "width": 6,
    "mean": [0.5],
    "std": [0.25],
    "resize": runtime.SQUASH,
    "interpolation": "bilinear",
}


def as_json(decision: Decision) -> dict[str, Any]:
    return dict(json.loads(decision.model_dump_json()))


def decided(outputs: np.ndarray, decision: Decision) -> np.ndarray:
    return runtime.decide(outputs, as_json(decision))


def describe(decision: Decision, kind: str = "vector", **spec: Any) -> dict[str, Any]:
    return {
        "format": 2,
        "input": {**SPEC, **spec},
        "output": {"kind": kind, "decision": as_json(decision)},
    }


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_softmax_is_torchs_of_outputs_divided_by_the_temperature(temperature: float) -> None:
    due = torch.softmax(torch.from_numpy(OUTPUTS).double() / temperature, 1).numpy()
    np.testing.assert_allclose(
        decided(OUTPUTS, Softmax(classes=CLASSES, temperature=temperature)), due, rtol=1e-13, atol=0
    )


def test_softmax_gives_no_answer_below_its_limit() -> None:
    decision = as_json(Softmax(classes=CLASSES, abstain_below=0.6))
    sure, unsure = np.array([0.6, 0.3, 0.1]), np.array([0.59, 0.4, 0.01])
    assert runtime.answer_text(sure, decision, 1) == "cat 60.0%"
    assert runtime.answer_text(unsure, decision, 2) == "no answer (cat 59.0%, =dog 40.0%)"
    assert [runtime.cells(values, decision)[0] for values in (sure, unsure)] == ["cat", "no answer"]


def test_sigmoid_is_torchs_and_every_label_at_its_threshold_or_above_is_in_the_answer() -> None:
    decision = Sigmoid(classes=CLASSES, thresholds=(0.5, 0.25, 0.9))
    extreme = np.float32([[-800, 0, 800], *OUTPUTS])
    np.testing.assert_allclose(
        decided(extreme, decision), torch.sigmoid(torch.from_numpy(extreme).double()).numpy(), rtol=1e-13, atol=0
    )
    for row, found in zip(decided(OUTPUTS, decision), OUTPUTS, strict=True):
        due = [index for index in range(3) if 1 / (1 + np.exp(-np.float64(found[index]))) >= decision.thresholds[index]]
        assert runtime.chosen(row, as_json(decision)) == due
    exact = np.array([0.5, 0.2499, 0.95])
    assert runtime.cells(exact, as_json(decision), ".4g") == ["cat;owl", "0.5", "0.2499", "0.95"]
    assert runtime.answer_text(exact, as_json(decision), 3) == "owl 95.0%, cat 50.0%"
    assert runtime.answer_text(exact, as_json(decision), 1) == "owl 95.0% and 1 more"
    none = np.array([0.1, 0.2, 0.3])
    assert runtime.answer_text(none, as_json(decision), 2) == "no label (owl 30.0%, =dog 20.0%)"
    assert runtime.cells(none, as_json(decision))[0] == ""


@pytest.mark.parametrize(
    ("link", "torchs"), [("identity", torch.clone), ("exp", torch.exp), ("sigmoid", torch.sigmoid)]
)
@pytest.mark.parametrize("clip", [None, (-1.0, 4.0)])
def test_affine_is_link_scale_offset_and_clip(link: Any, torchs: Any, clip: tuple[float, float] | None) -> None:
    decision = Affine(names=("a", "b", "c"), scale=(2, 0.5, -1), offset=(0, 10, -3), link=link, clip=clip)
    due = torchs(torch.from_numpy(OUTPUTS).double()) * torch.tensor([2, 0.5, -1]) + torch.tensor([0, 10, -3])
    due = due if clip is None else due.clamp(*clip)
    np.testing.assert_allclose(decided(OUTPUTS, decision), due.numpy(), rtol=1e-13)


def test_values_stand_under_their_names_and_units() -> None:
    decision = as_json(Affine(names=("age", "height"), units=("years", "m"), scale=(1, 1), offset=(0, 0)))
    assert runtime.columns(decision) == ["age (years)", "height (m)"]
    assert runtime.answer_text(np.array([34.25, 1.8]), decision, 1) == "age 34.25 years, height 1.8 m"
    without = as_json(Affine(names=("age", "height"), scale=(1, 1), offset=(0, 0)))
    assert runtime.columns(without) == ["age", "height"]
    assert runtime.answer_text(np.array([34.25, 1.8]), without, 1) == "age 34.25, height 1.8"


def test_a_pixel_has_the_class_with_the_largest_output() -> None:
    masks = decided(MAP, PixelArgmax(classes=CLASSES))
    assert masks.dtype == np.uint8
    assert np.array_equal(masks, torch.from_numpy(MAP).argmax(1).numpy())
    decision = as_json(PixelArgmax(classes=CLASSES))
    assert runtime.columns(decision) == ["share(cat)", "share(=dog)", "share(owl)"]
    mask = np.array([[0, 0, 2], [0, 2, 0]], np.uint8)
    assert runtime.cells(mask, decision, ".3g") == ["0.667", "0", "0.333"]
    assert runtime.answer_text(mask, decision, 3) == "cat 66.7%, owl 33.3%"


def test_embeddings_have_length_1_and_zeros_stay_zeros() -> None:
    outputs = np.concatenate([OUTPUTS, np.zeros((1, 3), np.float32), np.full((1, 3), 3e38, np.float32)])
    found = decided(outputs, Embedding())
    due = torch.nn.functional.normalize(torch.from_numpy(outputs).double(), eps=1e-300).numpy()
    np.testing.assert_allclose(found, due, rtol=1e-13)
    assert not found[5].any()
    assert runtime.columns(as_json(Embedding()), 3) == ["v0", "v1", "v2"]


def test_raw_values_are_the_outputs() -> None:
    assert decided(MAP, Raw()) is MAP
    assert (
        runtime.answer_text(MAP[0], as_json(Raw()), 2) == f"{MAP[0, 0, 0, 0]:.6g}, {MAP[0, 0, 0, 1]:.6g}, … (72 values)"
    )
    assert len(runtime.cells(MAP[0], as_json(Raw()))) == len(runtime.columns(as_json(Raw()), MAP[0].size)) == 72


def network(inputs: np.ndarray) -> np.ndarray:
    """The first class where a pixel is dark, the second where it is bright."""
    return np.concatenate([-inputs, inputs], axis=1)


@pytest.mark.parametrize(
    ("size", "resize", "shape"),
    [
        ("image", runtime.SQUASH, (10, 30)),
        ("input", runtime.SQUASH, (4, 6)),
        ("image", runtime.COVER, (4, 6)),
        ("image", runtime.CROP, (4, 6)),
    ],
)
def test_masks_have_the_size_of_the_image_where_it_was_squashed(
    tmp_path: Path, size: Any, resize: str, shape: tuple[int, int]
) -> None:
    pixels = np.zeros((10, 30), np.uint8)
    pixels[:, 15:] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # the file is the image on its side
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "a.png", exif=turned)
    description = describe(PixelArgmax(classes=("dark", "bright"), size=size), "map", resize=resize)
    ((_, mask),) = runtime.predict(network, description, [tmp_path / "a.png"])
    assert mask.shape == shape
    half = shape[1] // 2
    assert not mask[:, :half].any() and mask[:, half:].all()


def test_a_mask_is_enlarged_by_the_nearest_pixel() -> None:
    mask = np.random.default_rng(0).integers(0, 9, (5, 7), dtype=np.uint8)
    rows, columns = (((np.arange(new) + 0.5) * old / new).astype(int) for new, old in ((13, 5), (11, 7)))
    assert np.array_equal(runtime.resize_mask(mask, (11, 13)), mask[rows][:, columns])


def test_masks_are_written_with_a_palette_and_none_is_written_over(tmp_path: Path) -> None:
    masks = [np.full((2, 3), value, np.uint8) for value in (1, 2, 255)]
    paths = [Path("a/x.jpg"), Path("b/x.png"), Path("x-2.png")]
    files = runtime.write_masks(tmp_path / "new" / "masks", zip(paths, masks, strict=True))
    assert [file.name for file in files] == ["x.mask.png", "x-2.mask.png", "x-2-2.mask.png"]
    for file, mask in zip(files, masks, strict=True):
        with Image.open(file) as image:
            assert image.mode == "P" and np.array_equal(np.asarray(image), mask)


def test_a_table_has_a_row_an_image_whatever_the_decision(tmp_path: Path) -> None:
    values = {
        Softmax(classes=CLASSES): np.array([0.2, 0.7, 0.1]),
        Sigmoid(classes=CLASSES, thresholds=(0.5, 0.5, 0.5)): np.array([0.7, 0.8, 0.1]),
        Affine(names=("=x",), units=("m",), scale=(1,), offset=(0,)): np.array([-1.5]),
        PixelArgmax(classes=CLASSES): np.array([[0, 1]], np.uint8),
        Embedding(): np.array([0.6, 0.8]),
        Raw(): np.float32([[1, 2]]),
    }
    due = [
        [["file", "prediction", "p(cat)", "p(=dog)", "p(owl)"], ["a.png", "'=dog", "0.2", "0.7", "0.1"]],
        [["file", "prediction", "p(cat)", "p(=dog)", "p(owl)"], ["a.png", "cat;=dog", "0.7", "0.8", "0.1"]],
        [["file", "'=x (m)"], ["a.png", "-1.5"]],
        [["file", "share(cat)", "share(=dog)", "share(owl)"], ["a.png", "0.5", "0.5", "0"]],
        [["file", "v0", "v1"], ["a.png", "0.6", "0.8"]],
        [["file", "v0", "v1"], ["a.png", "1", "2"]],
    ]
    for (decision, row), table in zip(values.items(), due, strict=True):
        runtime.write_csv(tmp_path / "t.csv", [(Path("a.png"), row)], as_json(decision))
        with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as stream:
            assert list(csv.reader(stream)) == table
    runtime.write_csv(tmp_path / "t.csv", [], as_json(Raw()))
    assert (tmp_path / "t.csv").read_text(encoding="utf-8").splitlines() == ["file"]


def test_a_description_of_format_1_means_softmax() -> None:
    old = {"input": SPEC, "output": {"kind": "logits", "classes": list(CLASSES)}}
    runtime.check_description(old)
    assert runtime.decision_of(old) == as_json(Softmax(classes=CLASSES))


def test_every_field_of_the_contract_is_known_with_its_default() -> None:
    for model in (Softmax, Sigmoid, Affine, PixelArgmax, Embedding, Raw):
        kind = model.model_fields["kind"].default
        due = {
            name: runtime.REQUIRED if field.is_required() else list(default) if isinstance(default, tuple) else default
            for name, field in model.model_fields.items()
            if name != "kind"
            for default in [field.default]
        }
        assert runtime.FIELDS[kind] == due
    kinds = decisions.Decision.__args__[0].__args__  # type: ignore[attr-defined]
    assert {model.model_fields["kind"].default for model in kinds} == set(runtime.FIELDS) == set(runtime.OUTPUT_KINDS)


SOFTMAX = Softmax(classes=CLASSES)
SIGMOID = Sigmoid(classes=CLASSES, thresholds=(0.5, 0.5, 0.5))
AFFINE = Affine(names=("a", "b"), units=("m", "s"), scale=(1, 2), offset=(0, 0), clip=(0, 1))
MASK = PixelArgmax(classes=CLASSES)
WRONG: dict[str, tuple[Decision, dict[str, Any]]] = {
    "an unknown kind": (SOFTMAX, {"kind": "argmax"}),
    "a kind that is a list": (SOFTMAX, {"kind": ["softmax"]}),
    "an unknown field": (SOFTMAX, {"conformal": 0.1}),
    "no classes": (SOFTMAX, {"classes": []}),
    "classes that are a text": (SOFTMAX, {"classes": "cat"}),
    "a class that is a number": (SIGMOID, {"classes": ["cat", "dog", 3]}),
    "a temperature of 0": (SOFTMAX, {"temperature": 0}),
    "a temperature that is no number": (SOFTMAX, {"temperature": float("nan")}),
    "a temperature beyond a float": (SOFTMAX, {"temperature": 10**400}),
    "a temperature that is a truth value": (SOFTMAX, {"temperature": True}),
    "a limit above 1": (SOFTMAX, {"abstain_below": 1.5}),
    "a threshold too few": (SIGMOID, {"thresholds": [0.5, 0.5]}),
    "a threshold above 1": (SIGMOID, {"thresholds": [0.5, 0.5, 1.1]}),
    "one threshold": (SIGMOID, {"thresholds": 0.5}),
    "no thresholds": (SIGMOID, {"thresholds": runtime.REQUIRED}),
    "a scale too many": (AFFINE, {"scale": [1, 2, 3]}),
    "a scale that is a text": (AFFINE, {"scale": [1, "2"]}),
    "an infinite offset": (AFFINE, {"offset": [0, float("inf")]}),
    "a unit too few": (AFFINE, {"units": ["m"]}),
    "an unknown link": (AFFINE, {"link": "log"}),
    "a link that is a list": (AFFINE, {"link": ["exp"]}),
    "a clip of one number": (AFFINE, {"clip": [1]}),
    "a clip that falls": (AFFINE, {"clip": [1, 0]}),
    "an unknown size": (MASK, {"size": "screen"}),
    "more classes than a mask can hold": (MASK, {"classes": [str(index) for index in range(257)]}),
    "a gallery that is a list": (Embedding(), {"gallery": []}),
}


@pytest.mark.parametrize(("decision", "change"), WRONG.values(), ids=WRONG.keys())
def test_a_decision_that_cannot_be_carried_out_is_refused(decision: Decision, change: dict[str, Any]) -> None:
    description = describe(decision, runtime.OUTPUT_KINDS[decision.kind][0])
    runtime.check_description(description)
    description["output"]["decision"].update(change)
    with pytest.raises((ValueError, LookupError, TypeError)):
        runtime.check_description(description)


@pytest.mark.parametrize(
    ("decision", "kind"),
    [(SOFTMAX, "map"), (SIGMOID, "features"), (MASK, "vector"), (Embedding(), "map"), (Raw(), "text")],
)
def test_a_decision_on_an_output_of_another_kind_is_refused(decision: Decision, kind: str) -> None:
    with pytest.raises(ValueError, match=rf"output '{kind}' is not one of .* {decision.kind} is made on"):
        runtime.check_description(describe(decision, kind))


def test_what_cannot_be_followed_of_a_newer_description_is_refused() -> None:
    with pytest.raises(ValueError, match="format 4"):
        runtime.check_description({**describe(SOFTMAX), "format": 4})
    with pytest.raises(ValueError, match="permuted pixels have no masks"):
        runtime.check_description(describe(MASK, "map", permute_pixels=1))


@pytest.mark.parametrize(
    ("decision", "kind", "right", "wrong"),
    [
        (SOFTMAX, "vector", (2, 3), [(2, 4), (1, 3), (2, 3, 1, 1)]),
        (AFFINE, "vector", (2, 2), [(2, 3)]),
        (MASK, "map", (2, 3, 4, 6), [(2, 3), (2, 3, 2, 3), (2, 4, 4, 6)]),
        (Embedding(), "features", (2, 77), [(2, 7, 1, 1), (3, 7)]),
        (Raw(), "map", (2, 9, 1, 2), [(2, 9)]),
    ],
)
def test_outputs_must_have_the_shape_that_the_decision_needs(
    decision: Decision, kind: str, right: tuple[int, ...], wrong: list[tuple[int, ...]]
) -> None:
    due = runtime.due_shape(as_json(decision), kind, (2, 1, 4, 6))
    assert runtime.has_shape(right, due)
    assert not any(runtime.has_shape(shape, due) for shape in wrong)
