"""The embedded digits, held to scikit-learn's own and to what the spec says of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from zoo_datasets import DIGITS, digits

from zoo.api import Options
from zoo.data.data_folder import Store


@pytest.fixture(scope="module")
def opened() -> digits.Digits:
    return digits.open_digits(Options(), Store(Path("unused")))


@pytest.fixture(scope="module")
def reference() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    values, labels = load_digits(return_X_y=True)
    return values, labels


def test_the_table_is_what_scikit_learn_reads(reference: tuple[np.ndarray, np.ndarray]) -> None:
    values, labels = digits.read_table()
    assert np.array_equal(values, reference[0])
    assert np.array_equal(labels, reference[1])


def test_another_layout_of_scikit_learn_falls_back_on_its_function(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reference: tuple[np.ndarray, np.ndarray]
) -> None:
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").touch()
    spec = digits.importlib.util.spec_from_file_location(
        "sklearn", tmp_path / "sklearn" / "__init__.py", submodule_search_locations=[str(tmp_path / "sklearn")]
    )
    monkeypatch.setattr(digits.importlib.util, "find_spec", lambda _name: spec)
    values, labels = digits.read_table()
    assert np.array_equal(values, reference[0])
    assert np.array_equal(labels, reference[1])


def test_the_two_parts_are_all_of_it_once(opened: digits.Digits, reference: tuple[np.ndarray, np.ndarray]) -> None:
    train, report = opened.load(opened.parts["train"]), opened.load(opened.parts["test"])
    assert (len(train.images), len(report.images)) == (1437, 360)
    rows = [int(name) for split in (train, report) for name in split.names or ()]
    assert sorted(rows) == list(range(1797))
    for split in (train, report):
        here = [int(name) for name in split.names or ()]
        assert np.array_equal(split.targets, reference[1][here])
        expected = np.floor(reference[0][here] * 255 / 16 + 0.5).reshape(-1, *DIGITS.shape)
        assert split.images.dtype == np.uint8
        assert np.array_equal(split.images, expected)


def test_every_class_is_divided_alike(opened: digits.Digits) -> None:
    train, report = np.bincount(opened.load("train").targets), np.bincount(opened.load("test").targets)
    assert len(report) == len(DIGITS.classes) == 10
    assert np.abs(report - (train + report) / 5).max() < 1


def test_mean_and_std_are_those_of_the_training_part(opened: digits.Digits) -> None:
    pixels = opened.load("train").images / 255
    assert DIGITS.mean == (pytest.approx(pixels.mean(), abs=5e-5),)
    assert DIGITS.std == (pytest.approx(pixels.std(), abs=5e-5),)


def test_the_division_never_changes(opened: digits.Digits) -> None:
    """The figures that recipes state were measured on this division."""
    assert opened.fingerprint == "2e49b5a8d63b3df9881c53ebc1bf368c264000514a877913f170526ab468d14a"


def test_opening_them_imports_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, zoo_datasets.digits as d; d.open_digits(None, None).load('train'); "
        "print(sorted({'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_specs_import_neither_torch_nor_numpy() -> None:
    code = "import sys, zoo_datasets; print(sorted({'torch', 'numpy', 'sklearn'} & set(sys.modules)))"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
