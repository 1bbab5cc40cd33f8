"""The two photographs, held to scikit-learn's own loader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from zoo_datasets import PHOTOS, photos
from zoo_datasets.options import PhotosOptions

from zoo.data.data_folder import Store
from zoo.errors import DataError


def test_they_are_what_scikit_learn_loads() -> None:
    from sklearn.datasets import load_sample_images

    split = photos.open_photos(PhotosOptions(), Store(Path("unused"))).load("photos")
    theirs = load_sample_images()
    assert [Path(name).name for name in theirs.filenames] == list(split.names)
    assert np.array_equal(split.images, np.stack(theirs.images).transpose(0, 3, 1, 2))
    assert (split.images.shape[1:], split.targets) == (PHOTOS.shape, None)


def test_the_fingerprint_stays() -> None:
    assert photos.Photos().fingerprint == photos.Photos().fingerprint


@pytest.mark.parametrize(
    ("shape", "size"),
    [((20, 30), (24, 16)), ((30, 20), (24, 16)), ((9, 9), (5, 7)), ((20, 30), (16, 16)), ((20, 30), (20, 30))],
)
def test_they_are_turned_and_cropped_at_the_centre(shape, size) -> None:
    image = np.random.default_rng(0).integers(0, 256, (3, *shape), dtype=np.uint8)
    turned = np.rot90(image, axes=(1, 2)) if (shape, size) == ((20, 30), (24, 16)) else image
    top, left = (turned.shape[1] - size[0]) // 2, (turned.shape[2] - size[1]) // 2
    assert np.array_equal(photos.cut_out(image, size), turned[:, top : top + size[0], left : left + size[1]])


def test_a_size_is_cut_out_of_them_and_of_the_fingerprint() -> None:
    cut = photos.open_photos(PhotosOptions(size=(600, 400)), Store(Path("unused")))
    assert cut.load("photos").images.shape == (2, 3, 600, 400)
    assert cut.fingerprint != photos.Photos().fingerprint
    with pytest.raises(DataError, match=r"photos are 640×427, too small for a crop of 700×400.*smaller dataset\.size"):
        photos.Photos((700, 400)).load("photos")


def test_opening_them_does_not_import_scikit_learn() -> None:
    code = (
        "import sys; from zoo_datasets.photos import Photos; Photos().load('photos'); print('sklearn' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
        == "False"
    )


@pytest.mark.parametrize("there", [[], ["china.jpg"]])
def test_a_photograph_that_is_missing_is_named(monkeypatch, tmp_path, there) -> None:
    folder = tmp_path / "sklearn" / "datasets" / "images"
    folder.mkdir(parents=True)
    for name in there:
        (folder / name).touch()
    (tmp_path / "sklearn" / "__init__.py").touch()
    found = photos.importlib.util.spec_from_file_location(
        "sklearn", tmp_path / "sklearn" / "__init__.py", submodule_search_locations=[str(tmp_path / "sklearn")]
    )
    monkeypatch.setattr(photos.importlib.util, "find_spec", lambda _: found)
    with pytest.raises(DataError, match=f"{'flower' if there else 'china'}.jpg is not where it is expected"):
        photos.Photos().load("photos")
