"""`dataset.cache`: crops from the images at their own sizes, in the order of the run, whatever the number of threads;
and everything else as if the images had been decoded once to the network's size."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as tv

import zoo
from zoo.api import Batch
from zoo.config.augmentation_options import canonical
from zoo.config.run_config import DatasetSection
from zoo.data import dataset_cache, source_samples
from zoo.data.augmentation import EpochAugmentation
from zoo.data.data_loader import Data, open_data
from zoo.data.preprocessing import Preprocessing
from zoo.data.source_images import ImageFiles
from zoo.data.source_samples import SourceSamples
from zoo.data.streamed_part import AHEAD
from zoo.errors import DataError, StorageError, UsageError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.resolve_config import resolve
from zoo.runs.run_directory import RunDir, create
from zoo.support import counter_random
from zoo.training import trainer
from zoo.training.preparation import prepare
from zoo.training.resume import resume
from zoo.training.train_state import TrainState
from zoo.training.trainer import fit

CPU, SIDE, SEED = torch.device("cpu"), 16, 5
CACHES = ("sized", "source", "none")
CROP = canonical("resized_crop: {scale: [0.2, 0.7]}, flip")
ORDER = np.array([7, 0, 3, 6, 1, 8, 2])


def photograph(seed: int) -> Image.Image:
    """Of its own size."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((40 + 3 * seed, 60 - 2 * seed), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "photographs"
    for index in range(20):
        part, name = ("train", "val")[index % 4 == 3], ("cat", "dog")[index % 2]
        (root / part / name).mkdir(parents=True, exist_ok=True)
        photograph(index).save(root / part / name / f"{index}.{('jpg', 'png')[index % 5 == 0]}", quality=95)
    (root / "val" / "cat").mkdir(exist_ok=True)
    photograph(20).save(root / "val" / "cat" / "20.jpg")
    return root


def opened(root: Path, cache: str, parts: tuple[str, ...] | None = None, **more: Any) -> Data:
    section = DatasetSection(name="folder", path=str(root), resize=SIDE, cache=cache, **more)  # type: ignore[call-arg,arg-type]
    return open_data(registry(), section, CPU, parts=parts)


def epoch_of(data: Data, specification: Any = CROP, epoch: int = 2) -> tuple[Any, EpochAugmentation]:
    part = data.part("train")
    return part, part.augmenter(specification, SEED).of_epoch(epoch)


def batches_of(data: Data, first: int = 0, specification: Any = CROP) -> list[Batch]:
    part, augment = epoch_of(data, specification)
    return list(part.batches_of(ORDER, 3, first, augment))


def same(one: list[Batch], other: list[Batch]) -> bool:
    pairs = zip(one, other, strict=True)
    return all(
        torch.equal(a.inputs, b.inputs) and torch.equal(a.targets, b.targets) and torch.equal(a.indices, b.indices)
        for a, b in pairs
        if a.targets is not None and b.targets is not None
    )


@pytest.mark.parametrize("cache", ["source", "none"])
def test_a_batch_has_the_crops_of_torchvision(folder, cache) -> None:
    """The boxes by the formula of Szegedy et al., drawn from the sample's own numbers, and each cut, scaled and flipped
    by torchvision from the whole image."""
    data = opened(folder, cache)
    part = data.part("train")
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (data.preprocessing.mean, data.preprocessing.std))
    batches = batches_of(data)
    assert torch.cat([batch.indices for batch in batches]).tolist() == ORDER.tolist()
    files = [folder / name for name in part.names]
    draws = counter_random.uniforms(SEED, counter_random.AUGMENT, 2, ORDER, 4).astype(np.float64)
    flips = counter_random.uniforms(SEED, counter_random.AUGMENT + 1, 2, ORDER, 1)[:, 0] < 0.5
    assert 0 < flips.sum() < len(flips)
    for (area, aspect, across, down), flip, index, found in zip(
        draws, flips, ORDER, torch.cat([batch.inputs for batch in batches]), strict=True
    ):
        with Image.open(files[index]) as image:
            pixels = tv.pil_to_tensor(image.convert("RGB"))
        height, width = pixels.shape[1:]
        share, ratio = (0.2 + area * 0.5) * height * width, np.exp(np.log(3 / 4) + aspect * np.log(16 / 9))
        wide, tall = min(width, np.sqrt(share * ratio)), min(height, np.sqrt(share / ratio))
        top, left = (round(value) for value in (down * (height - tall), across * (width - wide)))
        box = (min(top, height - round(tall)), min(left, width - round(wide)), round(tall), round(wide))
        due = tv.resized_crop(pixels, *box, [SIDE, SIDE], interpolation=InterpolationMode.BILINEAR, antialias=True)
        due = due.flip(2) if flip else due
        torch.testing.assert_close(found, (due / 255 - mean) / std, atol=1e-5, rtol=1e-5)


def test_from_the_cache_and_from_the_files_the_crops_are_the_same(folder) -> None:
    assert same(batches_of(opened(folder, "source")), batches_of(opened(folder, "none")))


def test_the_number_of_threads_changes_nothing(folder) -> None:
    data = opened(folder, "none")
    part, augment = epoch_of(data)
    files = [folder / name for name in part.names]
    boxes = lambda sizes: augment.boxes(ORDER, sizes)  # noqa: E731
    one, four = (
        SourceSamples(ImageFiles(files, data.preprocessing), None, data.preprocessing, workers=workers)
        for workers in (1, 4)
    )
    assert torch.equal(one.cut(ORDER, boxes)[0], four.cut(ORDER, boxes)[0])
    assert np.array_equal(one.images(ORDER), four.images(ORDER))


def test_threads_that_decode_run_torch_alone_and_leave_the_others_as_they_were() -> None:
    before = torch.get_num_threads()
    pool = source_samples.single_core_threads(3, "test")
    assert {pool.submit(torch.get_num_threads).result() for _ in range(9)} == {1}
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append((torch.ones(2) + 1).numel() and torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *found] == [before, before]


@pytest.mark.parametrize("cache", ["source", "none"])
@pytest.mark.parametrize("first", [1, 2])
def test_a_resumed_epoch_goes_on_with_the_same_batches(folder, cache, first) -> None:
    data = opened(folder, cache)
    assert same(batches_of(data, first), batches_of(data)[first:])


@pytest.mark.parametrize(
    "specification", ["", "flip", "shift: 0.2, color_jitter, rotate", "pca_noise, erase", "crop: 2"]
)
def test_without_a_crop_everything_is_as_at_the_networks_size(folder, specification) -> None:
    found = []
    for cache in CACHES:
        data = opened(folder, cache)
        part = data.part("train")
        augment = part.augmenter(canonical(specification), SEED).of_epoch(1) if specification else None
        found.append(list(part.batches_of(ORDER, 3, 0, augment)))
    assert same(found[0], found[1]) and same(found[0], found[2])


@pytest.mark.parametrize("cache", ["source", "none"])
@pytest.mark.parametrize("more", [{}, {"permute_pixels": 3}, {"channels": 1}, {"scale": 20}, {"fit": "crop"}])
def test_what_is_evaluated_and_shown_is_the_same(folder, cache, more) -> None:
    sized, other = opened(folder, "sized", **more), opened(folder, cache, **more)
    assert sized.samples == other.samples and sized.fingerprint == other.fingerprint
    for name in sized.parts:
        one, two = sized.part(name), other.part(name)
        assert same(list(one.batches(4)), list(two.batches(4)))
        assert np.array_equal(one.images_of([3, 0]), two.images_of([3, 0]))
        assert list(one.names) == list(two.names) and list(one.files) == list(two.files)
        assert all(np.array_equal(a, b) for a, b in zip(one.raw_images, two.raw_images, strict=True))
        assert one.targets is not None and two.targets is not None and np.array_equal(one.targets, two.targets)
        assert one.targets.dtype == two.targets.dtype


def test_only_training_images_are_kept_at_their_own_size_and_none_are_kept_by_none(folder) -> None:
    opened(folder, "none")
    assert dataset_cache.entries() == []
    opened(folder, "source")
    kept = {entry.description.get("size", "sized") for entry in dataset_cache.entries()}
    assert kept == {"source", "sized"}
    opened(folder, "source")
    assert len(dataset_cache.entries()) == 2


def test_batches_are_fetched_a_stated_number_ahead(folder, monkeypatch) -> None:
    part, augment = epoch_of(opened(folder, "none"))
    asked: list[int] = []
    cut = SourceSamples.cut
    monkeypatch.setattr(
        SourceSamples, "cut", lambda self, rows, boxes: asked.append(len(rows)) or cut(self, rows, boxes)
    )
    batches = part.batches_of(np.tile(ORDER, 3), 2, 0, augment)
    next(batches)
    assert len(asked) <= 1 + AHEAD
    batches.close()
    assert len(asked) <= 1 + AHEAD


def test_a_crop_comes_first(folder) -> None:
    for specification in ("flip, resized_crop", "color_jitter, resized_crop", "resized_crop, flip, resized_crop"):
        with pytest.raises(UsageError, match=r"only if it is the first.*put resized_crop first"):
            opened(folder, "none").part("train").augmenter(canonical(specification), 0)
        opened(folder, "sized").part("train").augmenter(canonical(specification), 0)


@pytest.mark.parametrize("cache", ["source", "none"])
def test_images_that_are_no_files_have_nothing_to_decode(cache) -> None:
    section = DatasetSection(name="digits", cache=cache)
    with pytest.raises(UsageError, match=rf"images of digits are no files.*dataset.cache={cache}.*leave it out"):
        open_data(registry(), section, CPU)


def test_a_damaged_file_has_the_same_error(folder) -> None:
    file = folder / "train" / "cat" / "2.jpg"
    file.write_bytes(file.read_bytes()[:700])
    told = []
    for cache in CACHES:
        with pytest.raises(DataError) as error:
            batches_of(opened(folder, cache))
            list(opened(folder, cache).part("train").batches(4))
        told.append(str(error.value))
    assert "2.jpg" in told[0] and "--skip-bad-images" in told[0]
    assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("more", [{}, {"val_fraction": 0.2}])
def test_bad_images_are_skipped(folder, more) -> None:
    (folder / "train" / "cat" / "2.jpg").write_bytes(b"no image")
    found = [opened(folder, cache, skip_bad_images=True, **more) for cache in CACHES]
    assert found[0].quarantine == found[1].quarantine == found[2].quarantine
    assert found[0].quarantine[0]["sample"].endswith("cat/2.jpg")
    assert found[0].samples == found[1].samples == found[2].samples
    assert same(batches_of(found[1]), batches_of(found[2]))
    written = len(dataset_cache.entries())
    opened(folder, "none", skip_bad_images=True, **more)  # that the others are images is remembered
    assert len(dataset_cache.entries()) == written
    assert min(entry.size for entry in dataset_cache.entries()) < 1000


def test_images_that_do_not_fit_into_the_cache_are_refused(folder, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_CACHE_LIMIT", "0.00001")
    with pytest.raises(
        StorageError, match=r"15 training images of folder at their own sizes need .*use dataset.cache=n"
    ):
        opened(folder, "source")
    assert dataset_cache.entries() == []


def test_a_damaged_entry_is_made_again(folder, capsys) -> None:
    expected = batches_of(opened(folder, "source"))
    (entry,) = (each for each in dataset_cache.entries() if each.description.get("size") == "source")
    with (entry.path / dataset_cache.IMAGES).open("r+b") as stream:
        stream.seek(-100, 2)
        stream.write(b"\0" * 100)
    assert same(batches_of(opened(folder, "source")), expected)
    assert "it is rebuilt" in "".join(capsys.readouterr())


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Images whose colour tells the class of their mask."""
    root = tmp_path / "masked"
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    for index in range(10):
        blocks = np.random.default_rng(index).integers(0, 3, (3, 4), dtype=np.uint8)
        mask = blocks.repeat(12, 0).repeat(12, 1)[: 30 + index, : 40 + index % 4]
        palette = Image.fromarray(mask)
        palette.putpalette([value for each in range(256) for value in (each, 0, 255 - each)])
        palette.save(root / "masks" / f"{index}.png")
        Image.fromarray(np.stack([mask * 100] * 3, -1)).save(root / "images" / f"{index}.png")
    return root


@pytest.mark.parametrize("cache", CACHES)
def test_masks_are_cut_with_their_images(masked, cache) -> None:
    data = opened(masked, cache)
    part = data.part("train")
    augment = part.augmenter(canonical("resized_crop: {scale: [0.1, 0.5]}, flip"), SEED).of_epoch(0)
    moved = 0
    for batch in part.batches_of(np.arange(len(part)), 3, 0, augment):
        assert (
            batch.targets is not None and batch.targets.shape[1:] == (SIDE, SIDE) and batch.targets.dtype == torch.uint8
        )
        for image, mask in zip(_values(batch.inputs, data.preprocessing), batch.targets.long(), strict=True):
            near = (image - mask * 100).abs()[mask != 255]
            assert (near < 30).float().mean() > 0.7  # but for the pixels between two blocks
            moved += int(mask.unique().numel() > 0)
    assert moved == len(part)
    plain = next(iter(part.batches(len(part))))
    sized = next(iter(opened(masked, "sized").part("train").batches(len(part))))
    assert torch.equal(plain.targets, sized.targets) and torch.equal(plain.inputs, sized.inputs)


def _values(inputs: Tensor, how: Preprocessing) -> Tensor:
    """The first channel of inputs, 0–255."""
    return (inputs[:, 0] * how.std[0] + how.mean[0]) * 255


@pytest.mark.parametrize("cache", ["source", "none"])
def test_a_damaged_mask_is_named(masked, cache) -> None:
    (masked / "masks" / "1.png").write_bytes(b"no mask")
    with pytest.raises(DataError, match=r"this mask cannot be read.*1\.png"):
        for part in opened(masked, cache).parts.values():
            list(part.batches(2))


def test_show_draws_the_crops_of_the_training(folder, tmp_path) -> None:
    section = {"path": str(folder), "resize": SIDE}
    drawn = []
    for cache in ("sized", "none"):
        out = tmp_path / f"{cache}.png"
        zoo.show("folder", augment="resized_crop", options={**section, "cache": cache}, out=out)
        drawn.append(out.read_bytes())
    assert drawn[0] != drawn[1]


class Killed(BaseException):
    """Stands for the end of the process."""


def state_of(root: Path, run: Path | RunDir, cache: str, augment: str = "resized_crop, flip") -> TrainState:
    overrides = {
        "dataset": {"name": "folder", "path": str(root), "cache": cache, "resize": 28, "channels": 1},
        "train": {"augment": canonical(augment), "epochs": 2, "batch_size": 4, "checkpoint_steps": 1},
        "device": "cpu",
        "threads": 1,
    }
    plan = resolve(registry(), "cnn", overrides=overrides)
    ready = prepare(plan)
    assert ready.learning is not None
    directory = run if isinstance(run, RunDir) else create(plan.config, run)
    return TrainState(
        plan.config, ready.learning, ready.model, ready.data, ready.engine, directory, Console(quiet=True)
    )


def trained(state: TrainState) -> dict[str, Tensor]:
    fit(state)
    return state.model.state_dict()


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_trainings_differ_only_where_they_crop(folder, tmp_path) -> None:
    weights = {
        (cache, augment): trained(state_of(folder, tmp_path / f"{cache}-{augment}", cache, augment))
        for cache in CACHES
        for augment in ("flip", "resized_crop")
    }
    for cache in ("source", "none"):
        assert equal(weights["sized", "flip"], weights[cache, "flip"])
        assert not equal(weights["sized", "resized_crop"], weights[cache, "resized_crop"])
    assert equal(weights["source", "resized_crop"], weights["none", "resized_crop"])


@pytest.mark.parametrize("cache", ["source", "none"])
def test_a_training_that_was_killed_within_an_epoch_ends_with_the_same_bits(
    folder, cache, monkeypatch, tmp_path
) -> None:
    whole = trained(state_of(folder, tmp_path / "whole", cache))

    def kill(state: TrainState, _stop: object) -> None:
        if state.progress.step == 6:  # of 4 steps in an epoch
            raise Killed

    state = state_of(folder, tmp_path / "run", cache)
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "stop_if_asked", kill)
        with pytest.raises(Killed):
            fit(state)
    again = state_of(folder, state.run, cache)
    resume(again)
    assert again.progress.epoch == 1 and again.progress.batch == 2
    assert equal(trained(again), whole)


def test_a_training_with_the_crop_in_another_place_does_not_start(folder, tmp_path) -> None:
    with pytest.raises(UsageError, match="put resized_crop first"):
        state_of(folder, tmp_path / "run", "none", "flip, resized_crop")
    assert not (tmp_path / "run").exists()
