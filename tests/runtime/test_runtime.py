from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo import runtime
from zoo.exporting.client_files import runtime_source
from zoo.runtime import convert, cover, permute, prepare, read_image, to_chw

SPEC: dict[str, Any] = {
    "channels": 1,
    "height": 8,
    "width": 8,
    "mean": [0.5],
    "std": [0.25],
    "permute_pixels": None,
    "resize": runtime.COVER,
    "interpolation": "bilinear",
}


def save(path: Path, pixels: object, mode: str | None = None, **options: Any) -> Path:
    image = Image.fromarray(np.asarray(pixels)) if mode is None else Image.fromarray(np.asarray(pixels), mode)
    image.save(path, **options)
    return path


def test_it_imports_the_standard_library_numpy_and_pillow_alone() -> None:
    tree = ast.parse(runtime_source())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) == {"numpy", "PIL"}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("name", "image"),
    [
        ("grey.png", Image.new("L", (5, 4), 200)),
        ("cmyk.jpg", Image.new("CMYK", (5, 4), (0, 0, 0, 55))),
        ("palette.png", Image.new("RGB", (5, 4), (200, 200, 200)).quantize(4)),
        ("bits.png", Image.new("1", (5, 4), 1)),
        ("sixteen.png", Image.fromarray(np.full((4, 5), 200 * 257, np.uint16))),
        ("float.tiff", Image.fromarray(np.full((4, 5), 200, np.float32))),
        ("one.png", Image.new("RGB", (1, 1), (200, 200, 200))),
        ("image.webp", Image.new("RGB", (5, 4), (200, 200, 200))),
        ("image.bmp", Image.new("RGB", (5, 4), (200, 200, 200))),
        ("image.gif", Image.new("L", (5, 4), 200)),
    ],
)
def test_every_kind_of_image_becomes_grey_or_rgb_of_the_same_brightness(
    tmp_path: Path, name: str, image: Image.Image, channels: int
) -> None:
    path = tmp_path / name
    image.save(path)
    found = read_image(path, channels)
    assert found.mode == ("L" if channels == 1 else "RGB")
    assert found.size == image.size
    due = 255 if name == "bits.png" else 200
    assert np.abs(np.asarray(found, dtype=int) - due).max() <= 2  # lossy formats


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0, 3] = 255  # one black pixel, the others clear
    assert np.asarray(read_image(save(tmp_path / "clear.png", pixels), 1)).tolist() == [[0, 255], [255, 255]]


def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("L", (4, 4), shade) for shade in (10, 240)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert np.asarray(read_image(tmp_path / "moving.gif", 1)).max() == 10


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.png", b"", "not an image"),
        ("text.jpg", b"these are words", "not an image"),
        ("page.png", b"%PDF-1.4\n%\xe2\xe3", "not an image"),
    ],
)
def test_what_is_no_image_is_told(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_image(tmp_path / name, 1)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tiff", "webp", "bmp"])
def test_a_truncated_image_is_told(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    path = save(tmp_path / f"cut.{suffix}", noise)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=r"cannot be read|no image"):
        read_image(path, 1)


def test_an_image_with_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "bomb.png", np.zeros((20, 10), np.uint8))
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("it was decoded"))
    with pytest.raises(runtime.OutsideLimitError, match="is 10×20, more than max_pixels=199"):
        read_image(path, 1, max_pixels=199)


@pytest.mark.parametrize(
    ("size", "crop"),
    [((8, 8), "none"), ((16, 8), "sides"), ((8, 16), "top and bottom"), ((1, 1), "none"), ((1, 300), "height")],
)
def test_an_image_is_scaled_until_it_covers_and_cropped_at_the_centre(size: tuple[int, int], crop: str) -> None:
    image = Image.new("L", size, 77)
    covered = cover(image, 8, 8)
    assert covered.size == (8, 8)
    assert np.asarray(covered).tolist() == np.full((8, 8), 77).tolist()


def test_the_crop_keeps_the_centre_and_the_aspect() -> None:
    pixels = np.zeros((4, 12), np.uint8)
    pixels[:, 4:8] = 255
    assert np.asarray(cover(Image.fromarray(pixels), 4, 4)).min() == 255


SIZES = [(300, 200), (200, 300), (257, 256), (640, 427), (224, 224), (90, 1000), (31, 33)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scale", "side"), [(256, 224), (232, 224), (224, 224), (342, 299)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_an_image_is_scaled_and_cut_as_by_torchvision(
    size: tuple[int, int], scale: int, side: int, interpolation: str
) -> None:
    """The other implementation: torchvision's transforms on the same image, to the bit."""
    from torchvision.transforms import CenterCrop, InterpolationMode, Resize

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    spec = {"height": side, "width": side, "resize": runtime.COVER, "scale": scale, "interpolation": interpolation}
    theirs = CenterCrop(side)(Resize(scale, InterpolationMode(interpolation))(image))
    assert np.array_equal(np.asarray(runtime.fit(image, spec)), np.asarray(theirs))


@pytest.mark.parametrize("size", [*SIZES, (30, 300), (300, 30), (31, 20), (224, 224), (223, 225)])
def test_an_image_is_cut_unscaled_as_by_torchvision_with_black_where_it_ends(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(1, 256, (size[1], size[0], 3), dtype=np.uint8))
    from torchvision.transforms import CenterCrop

    spec = {"height": 224, "width": 224, "resize": runtime.CROP, "interpolation": "bilinear"}
    assert np.array_equal(np.asarray(runtime.fit(image, spec)), np.asarray(CenterCrop(224)(image)))


def test_permuted_pixels_come_from_where_the_permutation_says() -> None:
    images = np.arange(2 * 3 * 16, dtype=np.uint8).reshape(2, 3, 4, 4)
    order = np.random.RandomState(5).permutation(16)
    assert np.array_equal(permute(images, 5).reshape(2, 3, 16), images.reshape(2, 3, 16)[:, :, order])


def test_prepare_gives_the_normalised_input_of_one_file(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", np.full((8, 8), 255, np.uint8))
    batch = prepare(path, SPEC)
    assert (batch.shape, batch.dtype) == ((1, 1, 8, 8), np.float32)
    assert np.allclose(batch, (1 - 0.5) / 0.25)


def test_rgb_keeps_its_channel_order() -> None:
    image = convert(Image.new("RGB", (2, 2), (255, 128, 0)), 3)
    assert to_chw(image)[:, 0, 0].tolist() == [255, 128, 0]


@pytest.mark.parametrize("fixed", [None, 3])
def test_probabilities_come_a_row_a_file_and_a_fixed_batch_is_filled_up(tmp_path: Path, fixed: int | None) -> None:
    files = [save(tmp_path / f"{index}.png", np.full((8, 8), index * 50, np.uint8)) for index in range(4)]
    sizes = []

    def run(inputs: np.ndarray) -> np.ndarray:
        sizes.append(len(inputs))
        return np.stack([inputs.mean((1, 2, 3)), np.zeros(len(inputs))], axis=1)

    spec = SPEC if fixed is None else {**SPEC, "batch": fixed}
    rows = list(runtime.predict(run, {"input": spec, "output": {"classes": ["bright", "dark"]}}, files))
    assert sizes == ([3, 3] if fixed else [4])
    assert [path for path, _ in rows] == files
    assert all(probabilities.sum() == pytest.approx(1) for _, probabilities in rows)
    assert [p[0] for _, p in rows] == sorted(p[0] for _, p in rows)


def client(folder: Path) -> Path:
    """The predict.py of a format whose files are one array: the outputs of every image."""
    (folder / "zoo_runtime.py").write_bytes(runtime_source())
    (folder / "predict.py").write_text(
        "import sys\nfrom pathlib import Path\nimport zoo_runtime\nimport numpy as np\n"
        "class Runner:\n"
        "    metadata = {}\n"
        "    def __init__(self, path, provider, threads):\n"
        "        print(provider, threads, file=sys.stderr)\n"
        "        self.outputs = np.load(path)\n"
        "    def __call__(self, inputs):\n"
        "        return {'output': self.outputs.repeat(len(inputs['input']), axis=0)}\n"
        "sys.exit(zoo_runtime.main(Runner, Path(__file__).with_name('model.npy'), ('cpu', 'dsp')))\n",
        encoding="utf-8",
    )
    return folder / "predict.py"


def told(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)


def test_its_command_line_predicts_with_any_format_and_says_what_is_wrong_in_one_line(tmp_path: Path) -> None:
    image, predict = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8)), client(tmp_path)
    done = told(predict, "--model", tmp_path / "none.npy", image)
    assert (done.returncode, len(done.stderr.splitlines())) == (4, 1)
    assert done.stderr.startswith("error: ") and "none.npy: is missing" in done.stderr
    np.save(tmp_path / "model.npy", np.float32([[0, 5]]))
    content = (tmp_path / "model.npy").read_bytes()
    index = {
        "files": {"model.npy": {"sha256": hashlib.sha256(content).hexdigest()}},
        "description": {"input": SPEC, "output": {"classes": ["dark", "bright"]}},
    }
    (tmp_path / "bundle.json").write_text(json.dumps(index), encoding="utf-8")
    done = told(predict, image, "--provider", "dsp", "--threads", "2")
    assert (done.returncode, done.stderr) == (0, "dsp 2\n")
    assert done.stdout == f"{image}: bright 99.3%, dark 0.7%\n"
    done = told(predict, image, "--provider", "tpu")
    assert done.returncode == 2 and "invalid choice: 'tpu'" in done.stderr


@pytest.mark.parametrize("way", ["-I", "-P"])
def test_without_the_folder_of_the_script_on_the_path_a_bundle_predicts(
    bundle_model: Path, put_client: Callable[[Path], Path], tmp_path: Path, way: str
) -> None:
    image = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    done = told(way, put_client(bundle_model.parent), image)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("missing", "packages"), [("numpy", "numpy pillow"), ("PIL", "numpy pillow"), ("onnxruntime", "onnxruntime")]
)
def test_a_missing_package_is_told_in_one_line(
    bundle_model: Path, put_client: Callable[[Path], Path], tmp_path: Path, missing: str, packages: str
) -> None:
    image = save(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    predict = put_client(bundle_model.parent)
    code = f"import runpy, sys; sys.modules[{missing!r}] = None; runpy.run_path({str(predict)!r}, run_name='__main__')"
    done = told("-c", code, image)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (6, "", 1), done.stderr
    assert done.stderr.startswith("error: ") and done.stderr.endswith(f"; fix: pip install {packages}\n")
