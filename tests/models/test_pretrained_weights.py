"""Weights by name, against a server on the loopback interface; what they give, against torchvision's own networks."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save
from torchvision.models import get_model, get_model_weights

from zoo.api import ArchitectureSpec, WeightsSpec
from zoo.data import downloads
from zoo.data.preprocessing import preprocessing_of
from zoo.errors import CheckpointError, UsageError
from zoo.models import pretrained_weights
from zoo.models.pretrained_weights import by_hand, listed, weights_file
from zoo.models.tensor_files import read_tensors
from zoo.registry.catalogue import Plugin
from zoo.registry.lookup import Item, registry
from zoo.runs.initial_weights import named
from zoo.runs.load_model import load_pretrained
from zoo.runs.resolve_config import resolve
from zoo.support.paths import data_root
from zoo.workflows.predict import predict

TENSORS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}
FILES: dict[str, bytes] = {}


def pickled() -> bytes:
    stream = io.BytesIO()
    torch.save(TENSORS, stream)
    return stream.getvalue()


FILES["/net.pth"], FILES["/model.safetensors"] = pickled(), save(TENSORS)
DIGESTS = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        content = FILES.get(self.path.replace("/wrong", ""), b"")
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Linked-ETag", f'"{DIGESTS.get(self.path, "0" * 64)}"')
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def server(
    serve: Callable[[type[BaseHTTPRequestHandler]], ThreadingHTTPServer], monkeypatch: pytest.MonkeyPatch
) -> ThreadingHTTPServer:
    monkeypatch.delenv("ZOO_OFFLINE")
    running = serve(Handler)
    running.asked = []  # type: ignore[attr-defined]
    return running


def item(address: str, path: str = "/net.pth", **facts: Any) -> Item[ArchitectureSpec]:
    kind = "torch" if path.endswith(".pth") else "safetensors"
    values = {
        "summary": "x",
        "licence": "MIT",
        "dataset": "toys",
        "classes": ("a", "b"),
        "input": (3, 8, 8),
        "mean": (0,) * 3,
        "std": (1,) * 3,
    }
    # an address of the loopback server is no https, which a spec insists on: it is put in past the check
    spec = WeightsSpec.model_construct(
        **{
            **WeightsSpec(url="https://example.org/x", **values).__dict__,
            "url": address + path,
            "format": kind,
            **facts,
        }
    )
    net = ArchitectureSpec(name="net", summary="x", target="n:b", input=(3, 8, 8)).model_copy(
        update={"weights": {"first": spec}}
    )
    return Item("architecture", net, Plugin("lab", "zoo-lab", "1.0", "zoo_lab"))


@pytest.mark.parametrize(
    ("path", "sha256"),
    [
        ("/net.pth", DIGESTS["/net.pth"][:8]),
        ("/model.safetensors", None),
        ("/model.safetensors", DIGESTS["/model.safetensors"]),
    ],
)
def test_weights_are_downloaded_once_checked_and_kept_as_safetensors(server, path, sha256, capsys) -> None:
    architecture = item(server.address, path, sha256=sha256, size=1234)
    places = [weights_file(architecture, "first") for _ in range(2)]
    folder = data_root() / "weights" / "lab" / "net"
    assert places == [folder / "first.safetensors"] * 2
    assert all(torch.equal(value, TENSORS[name]) for name, value in read_tensors(places[0]).items())
    assert server.asked == [path]
    assert sorted(file.name for file in folder.iterdir()) == ["first.json", "first.safetensors"]
    assert json.loads((folder / "first.json").read_text())["sha256"] == DIGESTS[path]
    told = capsys.readouterr()
    assert (
        told.out == ""
        and "net: downloading the weights first" in told.err
        and "licence: MIT" in told.err
        and server.address in told.err
    )


def test_what_is_not_the_file_it_should_be_is_not_kept(server) -> None:
    with pytest.raises(CheckpointError, match=r"its sha256 is .*, not 00000000….*download the file yourself to"):
        weights_file(item(server.address, sha256="00000000"), "first")
    with pytest.raises(CheckpointError, match="the server responds with status 404"):
        weights_file(item(server.address, "/nothing.pth", sha256="00000000"), "first")
    assert [file for file in data_root().rglob("*") if file.is_file()] == []


def test_the_publishers_file_put_by_hand_is_converted_and_left_as_it_is(server) -> None:
    architecture = item(server.address, sha256=DIGESTS["/net.pth"][:8])
    place = by_hand(architecture, "first")
    assert place.name == "net.pth"
    place.parent.mkdir(parents=True)
    place.write_bytes(FILES["/net.pth"])
    assert read_tensors(weights_file(architecture, "first")).keys() == TENSORS.keys()
    assert server.asked == [] and place.read_bytes() == FILES["/net.pth"]


def test_a_wrong_file_put_by_hand_is_told_with_both_digests(server) -> None:
    architecture = item(server.address, sha256="0123456789")
    place = by_hand(architecture, "first")
    place.parent.mkdir(parents=True)
    place.write_bytes(FILES["/net.pth"])
    with pytest.raises(CheckpointError, match=f"its sha256 is {DIGESTS['/net.pth']}, not 0123456789…"):
        weights_file(architecture, "first")


def test_weights_that_were_changed_are_refused(server) -> None:
    architecture = item(server.address, sha256=DIGESTS["/net.pth"][:8])
    place = weights_file(architecture, "first")
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    os.utime(place, (1, 1))
    with pytest.raises(CheckpointError, match=r"these weights were changed: .*remove the file to download it again"):
        weights_file(architecture, "first")
    place.unlink()
    assert weights_file(architecture, "first") == place


@pytest.mark.parametrize("offline", [True, False])
def test_with_no_network_one_error_says_what_is_missing_from_where_and_where_to_put_it(
    server, monkeypatch, offline
) -> None:
    if offline:
        monkeypatch.setenv("ZOO_OFFLINE", "1")
    closed = "http://127.0.0.1:9"
    monkeypatch.setattr(downloads, "ALLOWED", (closed,))
    architecture = item(closed, sha256="00000000", size=5_000_000)
    with pytest.raises(CheckpointError) as caught:
        weights_file(architecture, "first")
    message = str(caught.value)
    for words in (
        "the weights 'first' of lab/net are not here",
        f"{closed}/net.pth (5.0 MB) → {by_hand(architecture, 'first')}",
    ):
        assert words in message
    assert ("ZOO_OFFLINE forbids downloads" in message) == offline
    assert caught.value.exit_code == 4


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("imagenet1k_v2", "imagenet1k_v2"),
        ("imagenet", "imagenet1k_v1"),
        ("imagenet-1k", "imagenet1k_v1"),
        ("", None),
        ("coco", None),
    ],
)
def test_weights_go_by_the_beginning_of_their_name_or_dataset(text, name) -> None:
    assert named(registry().architecture("torchvision/resnet50"), text) == name


def test_a_configuration_names_them_in_full() -> None:
    asked = {"architecture": {"name": "torchvision/resnet18"}, "dataset": {"name": "digits"}, "weights": "imagenet"}
    assert resolve(registry(), overrides=asked).config.weights == "imagenet1k_v1"


def test_listed_says_what_is_here() -> None:
    rows = listed(registry().architecture("torchvision/squeezenet1_1"))
    assert [(row["name"], row["here"], row["classes"]) for row in rows] == [("imagenet1k_v1", False, 1000)]
    assert rows[0]["place"].endswith("weights/torchvision/squeezenet1_1/squeezenet1_1-b8a52dc0.pth")
    assert [row["here"] for row in listed(registry().architecture("fnn"))] == [True]


# ----------------------------------------------------------------------------------------------- what they are used for


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)).save(
        tmp_path / "photo.png"
    )
    return tmp_path / "photo.png"


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "googlenet"])
def test_a_file_of_torchvisions_weights_predicts_what_torchvision_does(name, tmp_path, photo) -> None:
    """The other implementation: torchvision's network, with its own transform of the image."""
    torch.manual_seed(0)
    extra = {"aux_logits": True, "transform_input": True, "init_weights": True} if name == "googlenet" else {}
    theirs = get_model(name, **extra).eval()
    file = tmp_path / "mine.safetensors"
    file.write_bytes(save({key: value.contiguous() for key, value in theirs.state_dict().items()}))
    transform = get_model_weights(name).IMAGENET1K_V1.transforms()
    with Image.open(photo) as image, torch.no_grad():
        expected = theirs(transform(image.convert("RGB"))[None]).softmax(1)[0].numpy()
    found = predict(f"torchvision/{name}", [photo], weights=str(file))
    np.testing.assert_allclose(found.rows[0][1], expected, atol=2e-6)
    assert found.classes[258] == "Samoyed" and found.engine.startswith(
        f"torchvision/{name} with mine.safetensors, torch"
    )
    found.draw(tmp_path / "grid.png")
    assert (tmp_path / "grid.png").stat().st_size > 5_000


def test_shipped_weights_go_by_their_name(photo) -> None:
    found = predict("cnn", [photo], weights="mnist")
    assert found.classes == tuple("0123456789") and found.rows[0][1].sum() == pytest.approx(1, abs=1e-5)


def test_weights_of_which_nothing_is_known_are_refused(tmp_path) -> None:
    file = tmp_path / "mine.safetensors"
    file.write_bytes(save({"classifier.1.weight": torch.zeros(7, 512, 1, 1)}))
    with pytest.raises(UsageError, match="none of the architecture's pretrained weights has 7 classes"):
        load_pretrained(registry(), "squeezenet1_1", str(file))
    with pytest.raises(
        UsageError,
        match=(
            r"'imagenat' is not a file, a run, or weights of torchvision/squeezenet1_1 .*did you mean "
            r"imagenet1k_v1"
        ),
    ):
        load_pretrained(registry(), "squeezenet1_1", "imagenat")


def test_the_preparation_is_that_of_the_weights() -> None:
    spec = registry().architecture("torchvision/swin_t").spec.weights["imagenet1k_v1"]
    made = preprocessing_of(spec)
    assert (made.shape, made.scale, made.interpolation, made.resize) == (
        (3, 224, 224),
        232,
        "bicubic",
        "cover, crop the centre",
    )
    squashed = next(
        weights
        for weights in registry().architecture("timm/convnext_base").spec.weights.values()
        if weights.fit == "squash"
    )
    assert preprocessing_of(squashed).resize == "squash to the size" and preprocessing_of(squashed).scale is None


@pytest.mark.realdata
def test_the_real_squeezenet_names_the_photographs() -> None:
    root = Path(os.environ["ZOO_DATA"])
    file = root / "weights" / "squeezenet1_1-imagenet.safetensors"
    if not file.is_file():
        pytest.skip("needs SqueezeNet's ImageNet weights under ZOO_DATA/weights")
    found = predict("squeezenet1_1", [root / "photos"], weights=str(file))
    best = {
        path.stem: [found.classes[index] for index in np.argsort(-probabilities)[:3]]
        for path, probabilities in found.rows
    }
    assert (best["samoyed"][0], best["hot_dog"][0], best["parrot"][0]) == ("Samoyed", "hotdog", "macaw")
    assert any("cat" in name or name == "tabby" for name in best["cat"])


def test_nothing_of_a_download_is_asked_where_weights_are_shipped(monkeypatch) -> None:
    monkeypatch.setattr(pretrained_weights, "download", lambda *_: pytest.fail("a download"))
    assert weights_file(registry().architecture("cnn"), "mnist").is_file()


def test_a_file_counts_as_built_like_all_of_the_architecture_s_own(tmp_path: Path) -> None:
    (tmp_path / "net.safetensors").write_bytes(save({"fc.weight": torch.zeros(1000, 4)}))
    given: dict[str, Any] = {"architecture": {"name": "torchvision/googlenet"}, "dataset": {"name": "digits"}}
    assert resolve(
        registry(), overrides={**given, "weights": str(tmp_path / "net.safetensors")}
    ).config.architecture.options == {"transform_input": True}
    assert resolve(registry(), overrides={**given, "weights": "none"}).config.architecture.options == {
        "transform_input": False
    }
