"""Runs of svd_image: quality, noise, small images, and what is refused."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image
from zoo_svd import image_report
from zoo_svd.factors import share
from zoo_svd.images import as_image, as_matrix
from zoo_svd.quality import psnr, ssim

import zoo
from zoo.cli.app import run_cli
from zoo.errors import UsageError, ZooError
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.load_model import load
from zoo.runs.resolve_config import resolve
from zoo.training.preparation import prepare


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """An image uint8 (C, H, W) with a spectrum that falls as a photograph's does."""
    numbers = np.random.default_rng(height * width)
    rows, columns = np.linspace(0, 6, height)[:, None], np.linspace(0, 9, width)
    waves = [np.sin(rows * (1 + c) + columns) + np.cos(rows * columns * (0.4 + 0.2 * c)) for c in range(channels)]
    return np.clip(128 + 50 * np.stack(waves) + numbers.normal(0, 8, (channels, height, width)), 0, 255).astype(
        np.uint8
    )


def test_the_recipe_rebuilds_two_photographs(tmp_path) -> None:
    result = zoo.run("svd_image", out=tmp_path / "run", console=Console(quiet=True))
    record = result.record
    assert (record.architecture, record.samples, record.macs) == (None, {"predict": 2}, None)
    # china.jpg and flower.jpg at rank 120
    assert result.metrics["psnr_db"] == pytest.approx((27.27 + 38.42) / 2, abs=0.05)
    with (result.path / "svd.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["name"], row["rank"], row["bytes in float32"], row["bytes in 8 bits"]) for row in rows[:2]] == [
        ("china.jpg", "60", "432000", "108480"),
        ("china.jpg", "120", "864000", "216960"),
    ]
    for row in rows:
        image = np.asarray(Image.open(result.path / "rebuilt" / f"{row['name'][:-4]}-{row['rank']}.png"))
        assert image.shape == (600, 400, 3)
        assert 0 <= float(row["psnr (dB)"]) - float(row["psnr in 8 bits (dB)"]) < 0.2
        assert float(row["JPEG of no more bytes, psnr (dB)"]) > float(row["psnr in 8 bits (dB)"])
    assert all((result.path / each.file).is_file() for each in record.report_items)
    assert {"china.jpg, reconstructed", "china.jpg, size", "china.jpg, factors", "Singular values", "Ranks"} <= {
        each.title for each in record.report_items
    }
    page = (result.path / "report.html").read_text()
    assert "Evaluated on the predict split (2 samples)" in page and "psnr" in page and "Learning rate" not in page
    model = load(result.path)
    held = next(model.children())
    left, right = held.left, held.right
    written = np.asarray(Image.open(result.path / "rebuilt" / "china-120.png")).astype(int)
    assert np.abs(as_image((left @ right).numpy(), 3) - written).max() <= 1  # rounded from sums in another order


def test_a_run_without_a_network_has_nothing_to_export_or_predict_by(tmp_path, capsys, monkeypatch) -> None:
    Image.fromarray(smooth(9, 7).transpose(1, 2, 0)).save(tmp_path / "tiny.png")
    overrides = {
        "dataset": {"name": "images", "path": str(tmp_path / "tiny.png")},
        "task": {"ranks": [3]},
        "name": "tiny",
    }
    zoo.run("svd_image", overrides=overrides, console=Console(quiet=True))
    for words in (["export", "tiny", "--onnx"], ["predict", "tiny", str(tmp_path / "tiny.png")]):
        assert run_cli(words) == 2
        assert "a run of task svd/svd_image has no network" in capsys.readouterr().err
    for words in ([], ["--out", str(tmp_path / "found")]):
        assert run_cli(["evaluate", "tiny", *words]) == 0
        assert capsys.readouterr().out.startswith("datasets/images, predict split, 1 sample: psnr ")
    assert run_cli(["evaluate", "tiny", "--data", "photos"]) == 2
    assert "can be evaluated only on its own data" in capsys.readouterr().err
    Image.fromarray(smooth(9, 8).transpose(1, 2, 0)).save(tmp_path / "tiny.png")
    assert run_cli(["evaluate", "tiny"]) == 2  # another image of the same name


def test_noise_is_removed_best_at_some_rank_between(tmp_path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(smooth(80, 60).transpose(1, 2, 0)).save(images / "a b.png")
    overrides = {"dataset": {"name": "images", "path": str(images)}, "task": {"noise": 30.0, "ranks": [2, 40]}}
    result = zoo.run("svd_denoise", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    (told,) = (each.caption for each in result.record.report_items if each.title == "a b.png, denoised")
    best = float(told.partition("PSNR of ")[2].partition(" dB")[0])
    with (result.path / "svd.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    reached = {int(row["rank"]): float(row["psnr (dB)"]) for row in rows}
    (marked,) = [int(row["rank"]) for row in rows if row["best rank"] == "yes"]
    assert f"The best rank is {marked}, " in told and best == pytest.approx(reached[marked], abs=0.01)
    assert (
        best == pytest.approx(max(reached.values()), abs=0.01) and best > reached[40] + 0.5 and {2, 40} <= set(reached)
    )
    again = zoo.run("svd_denoise", overrides=overrides, out=tmp_path / "again", console=Console(quiet=True))
    assert again.metrics == result.metrics


def test_of_data_with_labels_the_report_part_is_looked_at_once_and_images_of_one_name_have_files_of_their_own(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(image_report, "drawn_items", lambda *_: [])  # 60 figures
    for part, label, index in [
        (part, label, index) for part in ("train", "val", "test") for label in ("a", "b") for index in range(12)
    ]:
        file = tmp_path / "photos" / part / (label if part != "test" else "") / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth(9 + index, 8).transpose(1, 2, 0)).save(file)
    told = []

    class Listening(Console):
        def print(self, text):
            told.append(text)

    overrides = {"dataset": {"name": "folder", "path": str(tmp_path / "photos")}, "task": {"ranks": [2]}}
    result = zoo.run("svd_image", overrides=overrides, out=tmp_path / "run", console=Listening(quiet=True))
    assert "using the first 20 of 24 images" in told
    assert list(result.record.results) == ["test"] and len(list((result.path / "compressed").iterdir())) == 20
    assert not (result.path / "predict" / "svd.csv").exists()


def test_images_smaller_than_a_rank_are_whole(tmp_path) -> None:
    Image.fromarray(smooth(9, 7).transpose(1, 2, 0)).save(tmp_path / "tiny.png")
    overrides = {"dataset": {"name": "images", "path": str(tmp_path / "tiny.png")}, "task": {"ranks": [60]}}
    result = zoo.run("svd_image", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    assert result.metrics["energy"] == pytest.approx(1, abs=1e-6)


def test_on_another_device_it_says_where_images_are_factorised() -> None:
    ready = prepare(resolve(registry(), "svd_image", overrides={"task": {"ranks": [2]}}))
    for device, said in (("cpu", False), ("meta", True)):
        told: list[str] = []
        assert ready.solver is not None
        ready.solver.solve(ready.model.to(device), ready.data, told.append)
        assert ("images are factorised on the cpu, whatever the device" in told) == said


@pytest.mark.gpu
def test_a_run_on_cuda_finds_what_one_on_the_cpu_does(tmp_path) -> None:
    found = [
        zoo.run("svd_image", overrides={"device": device}, out=tmp_path / device, console=Console(quiet=True))
        for device in ("cpu", "cuda")
    ]
    assert found[1].metrics == pytest.approx(found[0].metrics, rel=1e-6)


def test_an_architecture_has_no_place_there(tmp_path) -> None:
    with pytest.raises(UsageError, match="task svd_image takes no architecture"):
        zoo.run(
            "svd_image", overrides={"architecture": {"name": "cnn"}}, out=tmp_path / "run", console=Console(quiet=True)
        )


@pytest.mark.parametrize(
    ("path", "words"),
    [("nothing", "nothing is at the path of the dataset"), ("", "needs its path; fix: say images:PATH")],
)
def test_images_that_are_not_there_are_told(tmp_path, path, words) -> None:
    target = str(tmp_path / path) if path else ""
    with pytest.raises(ZooError, match=words):
        zoo.run(
            "svd_image",
            overrides={"dataset": {"name": "images", "path": target}},
            out=tmp_path / "run",
            console=Console(quiet=True),
        )


@pytest.mark.parametrize(("height", "width"), [(3, 100), (100, 4), (5, 5), (1, 1), (2, 9)])
def test_a_few_pixels_are_solved_and_drawn(tmp_path, height, width) -> None:
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "tiny.png")
    overrides = {"dataset": {"name": "images", "path": str(tmp_path)}, "task": {"ranks": [1]}}
    result = zoo.run("svd_image", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    nearest = np.linalg.svd(image.reshape(height, -1).astype(float), full_matrices=False)
    rebuilt = np.clip(np.rint(nearest[0][:, :1] * nearest[1][:1] @ nearest[2][:1]), 0, 255).reshape(image.shape)
    written = np.asarray(Image.open(tmp_path / "run" / "rebuilt" / "tiny-1.png")).astype(int)
    assert np.abs(written - rebuilt).max() <= 1
    assert 0 <= result.metrics["ssim"] <= 1 and all(
        (result.path / each.file).is_file() for each in result.record.report_items
    )


def test_ssim_takes_the_largest_window_that_fits() -> None:
    one = np.random.default_rng(0).integers(0, 256, (4, 40, 3), dtype=np.uint8)
    assert ssim(one, one) == pytest.approx(1) and ssim(255 - one, one) < 0.5
    grey, other = np.array([[[10]]], np.uint8), np.array([[[200]]], np.uint8)
    assert ssim(other, grey) == pytest.approx((2 * 10 * 200 + 2.55**2) / (10**2 + 200**2 + 2.55**2), abs=1e-4)


def test_a_rank_that_is_too_high_is_said(tmp_path, capsys) -> None:
    Image.fromarray(smooth(9, 7).transpose(1, 2, 0)).save(tmp_path / "tiny.png")
    overrides = {"dataset": {"name": "images", "path": str(tmp_path / "tiny.png")}, "task": {"ranks": [3, 60, 120]}}
    zoo.run("svd_image", overrides=overrides, out=tmp_path / "run")
    told = capsys.readouterr().out
    assert "tiny.png: rank 60 or 120 exceeds its 9 singular values; using all of them" in told
    assert "rank 9: " in told and "100% of the energy" in told and "rank 60:" not in told
    with (tmp_path / "run" / "svd.csv").open(newline="") as stream:
        assert [row["rank"] for row in csv.DictReader(stream)] == ["3", "9"]


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (1.0, "100%"),
        (0.99999, "more than 99.99%"),
        (0.99994, "99.99%"),
        (0.5, "50.00%"),
        (1 - 1e-15, "more than 99.99%"),
    ],
)
def test_only_all_of_the_energy_reads_as_all(part, text) -> None:
    assert share(part) == text


def test_beside_noise_stand_the_formats_of_the_noisy_image(tmp_path) -> None:
    """JPEG of the image without noise would be compared with factors of another image."""
    Image.fromarray(smooth(64, 64).transpose(1, 2, 0)).save(tmp_path / "a.png")
    overrides = {
        "dataset": {"name": "images", "path": str(tmp_path / "a.png")},
        "task": {"noise": 40.0, "ranks": [20]},
    }
    result = zoo.run("svd_denoise", overrides=overrides, out=tmp_path / "run", console=Console(quiet=True))
    with (result.path / "svd.csv").open(newline="") as stream:
        (row,) = [row for row in csv.DictReader(stream) if row["rank"] == "20"]
    numbers = np.random.default_rng([0, 5, *b"a.png"])
    matrix = as_matrix(smooth(64, 64))
    noisy = as_image(np.clip(matrix + numbers.normal(0, 40.0, matrix.shape), 0, 255), 3)
    best = 0.0
    for quality in range(1, 101):
        Image.fromarray(noisy).save(tmp_path / "n.jpg", "JPEG", quality=quality)
        if (tmp_path / "n.jpg").stat().st_size <= int(row["bytes in 8 bits"]):
            best = psnr(np.asarray(Image.open(tmp_path / "n.jpg")), smooth(64, 64).transpose(1, 2, 0))
    assert float(row["JPEG of no more bytes, psnr (dB)"]) == pytest.approx(best, abs=1e-3)
