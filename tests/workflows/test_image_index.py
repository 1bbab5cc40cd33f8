"""An index of images: incremental, for one model, searched and free of near-duplicates."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.errors import CheckpointError, UsageError
from zoo.workflows import image_index
from zoo.workflows.embedder import open_embedder
from zoo.workflows.image_index import ImageIndex, Model, index_folder, near_duplicates, read_index, search


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five images of noise, and a copy of one in lower quality."""
    root = tmp_path / "images"
    (root / "more").mkdir(parents=True)
    random = np.random.default_rng(0)
    for place in range(5):
        pixels = random.integers(0, 256, (7, 7, 3), np.uint8)
        Image.fromarray(pixels).resize((56, 56), Image.Resampling.NEAREST).save(root / f"{place}.png")
    Image.open(root / "2.png").save(root / "more" / "copy.jpg", quality=70)
    return root


def indexed(folder: Path, file: Path) -> image_index.Indexed:
    return index_folder(folder, model="cnn_mnist", index=file)


def test_only_new_and_changed_files_are_computed(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "index.safetensors"
    first = indexed(folder, file)
    assert (first.computed, first.reused, len(read_index(file).names)) == (6, 0, 6)
    Image.open(folder / "0.png").transpose(Image.Transpose.ROTATE_90).convert("L").save(folder / "0.png")
    shutil.copy(folder / "1.png", folder / "6.png")
    (folder / "4.png").unlink()
    second = index_folder(folder, index=file)
    assert (second.computed, second.reused, second.removed) == (2, 4, 1)
    anew = index_folder(folder, model="cnn_mnist", index=tmp_path / "anew.safetensors")
    assert anew.index.names == second.index.names
    assert np.allclose(anew.index.vectors, second.index.vectors, atol=1e-6)


def test_a_search_ranks_by_the_cosine_of_the_features(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "index.safetensors"
    made = indexed(folder, file).index
    [(_, matches)] = search([folder / "more" / "copy.jpg"], index=file, top=3)
    vectors = made.vectors.astype(np.float64)
    row = made.names.index("more/copy.jpg")
    due = np.argsort(-(vectors @ vectors[row]))[:3]
    assert [match.path for match in matches] == [made.path(each) for each in due]
    assert {match.path.name for match in matches[:2]} == {"copy.jpg", "2.png"}
    assert [match.similarity for match in matches] == pytest.approx((vectors @ vectors[row])[due], abs=1e-6)


def test_features_are_the_input_of_the_head() -> None:
    embedder = open_embedder("cnn_mnist")
    assert embedder.network is not None
    features = embedder.run(np.zeros((1, 1, 28, 28), np.float32))
    assert features.shape[1] != 10


def test_near_duplicates_are_groups(folder: Path, tmp_path: Path) -> None:
    made = indexed(folder, tmp_path / "index.safetensors").index
    own = made.vectors @ made.vectors.T
    similarity = own[made.names.index("2.png"), made.names.index("more/copy.jpg")]
    groups = near_duplicates(made, float(similarity) - 1e-4)
    assert {match.path.name for match in groups[0]} >= {"2.png", "copy.jpg"}
    chain = np.array([[1, 0], [np.cos(0.1), np.sin(0.1)], [np.cos(0.2), np.sin(0.2)], [0, 1]], np.float32)
    line = ImageIndex(tmp_path, Model("m"), list("abcd"), [(0, 0)] * 4, chain)
    assert [[match.path.name for match in group] for group in near_duplicates(line, 0.99)] == [["a", "b", "c"]]
    with pytest.raises(UsageError, match="at most 1"):
        near_duplicates(line, 2)


def test_another_model_computes_all_again(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "index.safetensors"
    indexed(folder, file)
    assert index_folder(folder, model="fnn_mnist", index=file).computed == 6


def test_the_first_index_needs_a_model(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the model must be named"):
        index_folder(folder, index=tmp_path / "index.safetensors")


def test_a_missing_or_damaged_index_is_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "index.safetensors"
    with pytest.raises(CheckpointError, match="there is no index"):
        search([folder], index=file)
    indexed(folder, file)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="damaged"):
        search([folder], index=file)


def test_a_changed_model_is_refused(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "index.safetensors"
    made = indexed(folder, file).index
    ImageIndex(made.folder, Model("fnn_mnist", digest=made.model.digest), made.names, made.states, made.vectors).write(
        file
    )
    with pytest.raises(CheckpointError, match="has changed since"):
        search([folder], index=file)


def test_what_was_computed_before_an_interruption_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, whole = tmp_path / "index.safetensors", image_index.compute_vectors

    def interrupted(*given: object):  # type: ignore[no-untyped-def]
        yield from list(whole(*given))[:2]  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(image_index, "compute_vectors", interrupted)
        with pytest.raises(KeyboardInterrupt):
            indexed(folder, file)
    assert index_folder(folder, index=file).computed == 4
