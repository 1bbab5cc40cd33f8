"""Contract tests for every first-party architecture, parametrised by the registry, and the facts of the networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zoo.config.run_config import Section
from zoo.errors import UsageError
from zoo.models.building import build_model, count_macs, count_parameters
from zoo.models.named_outputs import OutputReader
from zoo.models.pretrained_weights import weights_file
from zoo.registry.lookup import options_model, registry
from zoo.runs.load_model import load_shipped
from zoo.runs.resolve_config import resolve
from zoo.support.atomic_files import sha256

CLASSICS = [item.canonical for item in registry().items("architecture", namespace="classics")]


def default(name: str) -> Section:
    """A section of that network with its own defaults."""
    return Section(name=name, **options_model(registry().architecture(name))().model_dump())


@pytest.mark.parametrize(
    ("name", "options", "parameters", "macs"),
    [
        # multiply-accumulates: 24·24·6·25 + 8·8·6·6·25 + 96·50 + 50·10, and 784·8 + 8·8 + 8·10
        ("classics/cnn", {"n_features": 6}, 6_422, 86_400 + 57_600 + 4_800 + 500),
        ("classics/fnn", {"hidden": 8}, 6_442, 6_272 + 64 + 80),
        # 24·24·16·25 + 10·10·32·16·9 + 3·3·64·32·9 + 576·10
        ("classics/cnn_bn", {"width": 16}, 29_434, 230_400 + 460_800 + 165_888 + 5_760),
        ("classics/cnn", {"n_features": 12}, (25 + 1) * 12 + (25 * 12 + 1) * 12 + (12 * 16 + 1) * 50 + 510, None),
        ("classics/fnn", {"hidden": 32}, 785 * 32 + 33 * 32 + 33 * 10, None),
    ],
)
def test_parameters_and_macs_are_the_references(name, options, parameters, macs) -> None:
    model = build_model(registry(), Section(name=name, **options), in_channels=1, num_outputs=10, image_size=(28, 28))
    assert count_parameters(model) == (parameters, parameters)
    assert macs is None or count_macs(model, (1, 28, 28)) == macs


@pytest.mark.parametrize(
    ("name", "parameters", "macs"),
    [
        # 28·28·6·75 + 10·10·16·150 + 400·120 + 120·84 + 84·10
        ("classics/lenet", 62_006, 352_800 + 240_000 + 48_000 + 10_080 + 840),
        # 9 · (3·64·32² + 64·128·16² + (128 + 256)·256·8² + (256 + 512)·512·4² + 2·512·512·2²) + 512·10
        ("classics/vgg_cifar", 9_231_114, 9 * (196_608 + 2_097_152 + 6_291_456 + 6_291_456 + 2_097_152) + 5_120),
    ],
)
def test_the_networks_for_cifar_are_the_references(name, parameters, macs) -> None:
    model = build_model(registry(), Section(name=name), in_channels=3, num_outputs=10, image_size=(32, 32))
    assert count_parameters(model) == (parameters, parameters)
    assert count_macs(model, (3, 32, 32)) == macs


@pytest.mark.parametrize("name", CLASSICS)
@pytest.mark.parametrize(("channels", "more"), [(1, (0, 0)), (3, (4, 4)), (3, (0, 12))])
def test_any_input_it_says_it_takes(name, channels, more) -> None:
    """On the meta device: shapes alone are asked for, and the largest of these networks has 140 million parameters."""
    item = registry().architecture(name)
    size = (item.spec.smallest + more[0], item.spec.smallest + more[1])
    with torch.device("meta"):
        model = build_model(registry(), default(name), in_channels=channels, num_outputs=7, image_size=size)
        outputs = OutputReader(item.spec.outputs).by_name(model(torch.zeros(3, channels, *size)))
    declared = [output.name for output in item.spec.outputs]
    assert list(outputs) == declared
    logits = model.eval()(torch.zeros(3, channels, *size, device="meta"))
    due = (3, 7, *size) if item.spec.outputs[0].kind == "map" else (3, 7)
    assert [tuple(each.shape) for each in (logits, *outputs.values())] == [due] * (1 + len(declared))


@pytest.mark.parametrize("name", [name for name in CLASSICS if registry().architecture(name).spec.smallest > 1])
def test_nothing_smaller_than_the_smallest_is_taken(name) -> None:
    side = registry().architecture(name).spec.smallest - 1
    with (
        pytest.raises(
            UsageError, match=f"does not support {side}×{side} images: it needs at least {side + 1}×{side + 1}"
        ),
        torch.device("meta"),
    ):
        build_model(registry(), default(name), in_channels=1, num_outputs=2, image_size=(side, side))


def test_the_cnn_is_the_plain_sequential_network() -> None:
    """Independent implementation: nn.Sequential with the same weights."""
    model = build_model(
        registry(), Section(name="cnn", n_features=6), in_channels=1, num_outputs=10, image_size=(28, 28)
    )
    layers = [nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 5), nn.ReLU(), nn.MaxPool2d(2)]
    plain = nn.Sequential(*layers, nn.Flatten(), nn.Linear(96, 50), nn.ReLU(), nn.Linear(50, 10))
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    inputs = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(inputs), plain(inputs))


def test_lenet_is_the_plain_sequential_network() -> None:
    """Independent implementation: nn.Sequential with the same weights."""
    model = build_model(registry(), Section(name="lenet"), in_channels=3, num_outputs=10, image_size=(32, 32))
    layers = [
        nn.Conv2d(3, 6, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    ]
    plain = nn.Sequential(*layers, nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    inputs = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model(inputs), plain(inputs))


def test_vgg_cifar_has_torchvisions_vgg11_bn_convolutions() -> None:
    """Independent implementation: torchvision's features with our weights; the classifiers differ."""
    from torchvision.models import vgg11_bn

    model = build_model(
        registry(), Section(name="vgg_cifar"), in_channels=3, num_outputs=10, image_size=(32, 32)
    ).eval()
    theirs = vgg11_bn(init_weights=False).features.eval()
    theirs.load_state_dict(model.features.state_dict())
    inputs = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(model(inputs), model.classifier(theirs(inputs).flatten(1)))


WEIGHTS = [(item.canonical, name) for item in registry().items("architecture") for name in item.spec.weights]


@pytest.mark.parametrize(("architecture", "name"), WEIGHTS)
def test_shipped_weights_are_what_their_description_says(architecture, name) -> None:
    item = registry().architecture(architecture)
    path = weights_file(item, name)
    assert sha256(path) == item.spec.weights[name].sha256
    assert path.stat().st_size < 30_000


@pytest.mark.realdata
@pytest.mark.parametrize("recipe", ["cnn_mnist", "fnn_mnist"])
def test_shipped_weights_reach_the_accuracy_beside_them(recipe) -> None:
    from zoo.data.data_loader import open_data
    from zoo.runs.build_components import build_task, output_reader
    from zoo.training.evaluation import evaluate_part

    loaded, plan = load_shipped(registry(), recipe), resolve(registry(), recipe)
    data = open_data(
        registry(), loaded.config.dataset, torch.device("cpu"), preprocessing=loaded.preprocessing, parts=("test",)
    )
    task = build_task(plan, loaded.target, {})
    found = evaluate_part(loaded.model, task, loaded.decision, data.part("test"), 1000, output_reader(plan))
    assert found.metrics["accuracy"] == pytest.approx(loaded.origin["metrics"]["accuracy"], abs=1e-4)


@pytest.mark.realdata
@pytest.mark.parametrize("recipe", ["cnn_mnist", "fnn_mnist"])
def test_the_published_bundle_agrees_with_pytorch_on_every_real_test_digit(recipe) -> None:
    import json
    from pathlib import Path

    import numpy as np

    from zoo.config.item_options import build_exporter
    from zoo.data.data_loader import open_data
    from zoo.runtime import open_model

    bundle = Path(__file__).parents[3] / "exports" / "published" / recipe
    loaded = load_shipped(registry(), recipe)
    data = open_data(
        registry(), loaded.config.dataset, torch.device("cpu"), preprocessing=loaded.preprocessing, parts=("test",)
    )
    exporter = build_exporter(registry().exporter("onnx"))
    run = open_model(bundle / "model.onnx", lambda path: exporter.open(path, "cpu")).run
    agree = right = 0
    for batch in data.part("test").batches(1000):
        with torch.inference_mode():
            expected = loaded.model(batch.inputs).argmax(1).numpy()
        found = run(batch.inputs.numpy()).argmax(1)
        agree += int((expected == found).sum())
        right += int((found == np.asarray(batch.targets)).sum())
    assert agree == 10_000
    verified = json.loads((bundle / "verify.json").read_text())["real"]["accuracy"]["exported"]
    assert (
        right / 10_000
        == pytest.approx(verified, abs=1e-9)
        == pytest.approx(loaded.origin["metrics"]["accuracy"], abs=1e-4)
    )
