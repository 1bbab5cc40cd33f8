"""Images of a run: what they hold, and names that no font or markup expects."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from zoo.api import Classes, Mask
from zoo.reporting import plots

NAMES = ["猫 🐶", "$x^2", "כלב\u202e", "a\nb", "=1", "<b>"]


class Part:
    names = NAMES
    targets = np.arange(6)

    def __len__(self):
        return len(NAMES)

    def targets_of(self, indices):
        return self.targets[list(indices)]

    def images_of(self, indices):
        return np.zeros((len(list(indices)), 8, 8, 3), np.uint8)


def size(file):
    with Image.open(file) as image:
        return image.size


def test_masks_cover_half_of_their_images_and_leave_what_is_ignored() -> None:
    images = np.full((1, 2, 2, 1), 200, np.uint8)
    masks = np.array([[[0, 1], [1, 255]]], np.uint8)
    shown = plots.masked(images, masks, Mask(names=("road", "car")))
    blue, orange = (0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E)  # the first two of matplotlib's tab10
    due = [[np.add(200, each) / 2 for each in row] for row in ((blue, orange), (orange, (200, 200, 200)))]
    np.testing.assert_allclose(shown[0], due, atol=0.5)
    assert [key.get_label() for key in plots.mask_keys(Mask(names=("road", "car")))] == ["road", "car"]


def test_a_class_has_one_hue_on_images_of_every_colour() -> None:
    images = np.zeros((2, 1, 1, 3), np.uint8)
    images[0, ..., 0] = images[1, ..., 2] = 255  # red, blue
    shown = plots.masked(images, np.zeros((2, 1, 1), np.uint8), Mask(names=("road",)))
    colour = np.array([0x1F, 0x77, 0xB4])  # the first of matplotlib's tab10
    for each, share in zip(shown[:, 0, 0].astype(int), (0.299, 0.114), strict=True):
        np.testing.assert_allclose(each, (255 * share + colour) / 2, atol=1)


def test_names_of_any_writing_are_drawn_without_complaint(tmp_path) -> None:
    labels = Part.targets
    plots.samples(tmp_path / "samples.png", Part(), Classes(names=tuple(NAMES)), "$heading_")
    plots.predictions(tmp_path / "predictions.png", Part(), range(6), np.eye(6), labels[::-1], NAMES, "predictions")
    plots.confusion(tmp_path / "confusion.png", np.eye(6, dtype=int).tolist(), NAMES, "accuracy")
    plots.compared_curves(
        tmp_path / "compare.png", {name: ([], [{"step": 1, "loss": 2.0}]) for name in NAMES}, "compared"
    )
    assert all(size(tmp_path / f"{name}.png")[0] > 300 for name in ("samples", "predictions", "confusion", "compare"))


def test_errors_in_units_and_scores_up_to_one_have_panels_of_their_own(tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, file: drawn.append(figure.axes))
    rows = [{"epoch": n, "step": 9 * n, "train_loss": 1 / n, "val_mae": 3 / n, "val_r2": 1 - 0.1 / n} for n in (1, 2)]
    plots.curves(tmp_path / "x.png", rows, [{"step": 1, "loss": 2.0}], "run")
    loss, errors, scores = drawn[0]
    assert [line.get_label() for line in errors.lines] == ["val MAE"]
    assert [line.get_label() for line in scores.lines] == ["val R²"]
    # one logged batch says less than two epochs
    assert [line.get_label() for line in loss.lines] == ["train, mean of each epoch"]


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("suffix", ["png", "jpg", "PNG"])
def test_a_grid_holds_any_number_of_images(tmp_path, count, suffix) -> None:
    file = tmp_path / f"grid.{suffix}"
    plots.grid(file, np.zeros((count, 4, 4, 1), np.uint8), [str(index) for index in range(count)], "heading")
    assert size(file)[1] > 100


def test_images_stand_in_rows_in_their_proportions_and_under_their_titles(tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, file: drawn.append(figure))
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 10, 40, 3), np.uint8)
    plots.grid(tmp_path / "x.svg", images, list("abcde"), "heading", columns=2)
    axis = drawn[0].axes[0]
    size, boxes = drawn[0].get_size_inches(), [image.get_extent() for image in axis.images]
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, size[0]), (0, size[1]))
    assert [int(image.get_array()[0, 0, 0]) for image in axis.images] == list(range(5))
    assert all((right - left) / (top - bottom) == pytest.approx(4) for left, right, bottom, top in boxes)
    assert boxes[0][1] < boxes[1][0] and boxes[0][2:] == boxes[1][2:] and boxes[2][3] < boxes[0][2]
    assert boxes[4][0] == boxes[0][0] and boxes[4][2] > 0
    for (left, right, _, top), title, text in zip(boxes, axis.texts, "abcde", strict=True):
        assert title.get_text() == text and left < title.get_position()[0] < right and title.get_position()[1] > top


def test_curves_show_losses_and_metrics_by_epoch(tmp_path, monkeypatch) -> None:
    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, file: drawn.append(figure.axes))
    rows = [
        {"epoch": 1, "step": 5, "train_loss": 2.0, "val_accuracy": 0.5, "val_loss": 1.5},
        {"epoch": 2, "step": 10, "train_loss": 1.0, "val_accuracy": 0.75, "val_loss": 1.25},
    ]
    plots.curves(tmp_path / "x.png", rows, [{"step": n, "loss": 9.0 - n} for n in (1, 4, 8)], "run")
    plots.curves(tmp_path / "x.png", [], [], "nothing yet")
    loss, metric = drawn[0]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in loss.lines] == [
        ([0.2, 0.8, 1.6], [8, 5, 1]),  # 5 steps per epoch
        ([1, 2], [2, 1]),
        ([1, 2], [1.5, 1.25]),
    ]
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in metric.lines] == [([1, 2], [0.5, 0.75])]
    assert len(drawn[1]) == 1


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_name_cannot_turn_round_what_stands_beside_it(tmp_path, monkeypatch, suffix) -> None:
    drawn = []
    monkeypatch.setattr(
        plots, "save", lambda figure, file: drawn.extend(each.get_text() for each in figure.axes[0].texts)
    )
    grid = plots.image_grid
    monkeypatch.setattr(
        plots, "image_grid", lambda images, titles, *rest: (drawn.extend(titles), grid(images, titles, *rest))[1]
    )
    images = np.zeros((2, 4, 4, 1), np.uint8)
    plots.grid(tmp_path / f"x.{suffix}", images, ["a\u202eb\n c", "x" * 30], "heading", columns=2)
    assert drawn == ["ab c", "x" * 23 + "…"]
