"""An augmentation of a third-party plugin: by name in a configuration and in `zoo show`, with its options; what is
wrong with it is said in one line."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest
import torch

from zoo.config.augmentation_options import canonical
from zoo.data.augmentation import Augmenter
from zoo.errors import PluginError, UsageError
from zoo.registry.lookup import registry
from zoo.runs.resolve_config import resolve

REGISTRATION = """
from zoo.api import AugmentationSpec, hookimpl

@hookimpl
def zoo_register_augmentations():
    told = {{"summary": "Darken the image.", "options": "{module}.effects:DarkenOptions"}}
    return [AugmentationSpec(name="{name}", target="{module}.effects:{target}", **told)]
"""
EFFECTS = """
from pydantic import Field
from zoo.api import Augmentation, Options

class DarkenOptions(Options):
    least: float = Field(0.5, ge=0, le=1, description="smallest factor")

class Darken(Augmentation[DarkenOptions]):
    draws = 1

    def pixels(self, images, draws):
        factor = self.options.least + (1 - self.options.least) * draws[:, 0]
        return images.float() * factor.view(-1, 1, 1, 1)

class Tilt(Augmentation[DarkenOptions]):
    draws = 0

    def geometry(self, draws, sizes):
        return draws.new_tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]).expand(len(draws), 2, 3)

class Growing(Darken):
    def pixels(self, images, draws):
        return images.repeat(1, 1, 2, 2)

class Unfit(Darken):
    def fit(self, images, mean):
        raise KeyError("no such colour")

def function(options):
    return options
"""


@pytest.fixture
def plugin(install):
    """Installs a distribution whose augmentation ``name`` is the class ``target``."""

    def put(name="darken", target="Darken", namespace="acme"):
        module = f"zoo_{namespace}"
        info = install(f"zoo-{namespace}", namespace, REGISTRATION.format(name=name, target=target, module=module))
        (info.parent / module / "effects.py").write_text(textwrap.dedent(EFFECTS), encoding="utf-8")
        registry.cache_clear()

    yield put
    registry.cache_clear()


def images(count=6):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8))


def augmented(specification):
    return Augmenter(canonical(specification), 0, images(), (0.5,) * 3).of_epoch(0)(images(), np.arange(6))


def test_it_is_configured_by_its_name(plugin) -> None:
    plugin()
    config = resolve(registry(), "cnn_digits", overrides={"train": {"augment": "flip, darken: 0.25"}}).config
    assert config.train.augment[1] == {"darken": {"least": 0.25}}
    assert resolve(registry(), overrides=config.as_dict()).config == config
    assert canonical("acme/darken") == [{"acme/darken": {"least": 0.5}}]


def test_its_pixels_are_changed(plugin) -> None:
    plugin()
    ratio = augmented("darken: 0.25") / images().float().clamp_min(1e-3)
    assert 0.25 <= ratio[images() > 0].min() < ratio[images() > 0].max() <= 1


def test_its_geometry_turns_images_without_a_line_of_resampling(plugin) -> None:
    plugin("tilt", "Tilt")
    torch.testing.assert_close(augmented("tilt"), images().rot90(-1, (2, 3)).float(), atol=0.01, rtol=0)


def test_zoo_show_draws_it(plugin, tmp_path) -> None:
    from zoo.workflows.show import show

    plugin()
    assert show("digits", augment=canonical("darken"), out=tmp_path / "shown.png").file.stat().st_size > 1000


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("darkn", "unknown augmentation 'darkn'; did you mean darken"),
        ("darken: {lest: 1}", "darken.lest: unknown option; known options: least"),
        ("darken: 2", "less than or equal to 1, not 2"),
    ],
)
def test_what_is_wrong_in_a_configuration_is_one_line(plugin, text, words) -> None:
    plugin()
    with pytest.raises(UsageError, match=words) as caught:
        resolve(registry(), "cnn_digits", overrides={"train": {"augment": text}})
    assert "\n" not in str(caught.value)


def test_a_name_that_two_plugins_have_needs_its_namespace(plugin) -> None:
    plugin("flip")
    with pytest.raises(
        ValueError, match=r"'flip' is ambiguous: acme \(zoo-acme\) and augment \(torch-zoo\) have one; say"
    ):
        canonical("flip")
    assert canonical("augment/flip") == [{"augment/flip": {"p": 0.5, "axis": "horizontal"}}]


def test_a_disabled_plugin_is_named(plugin, monkeypatch) -> None:
    monkeypatch.setenv("ZOO_DISABLE_PLUGINS", "augment")
    plugin()
    with pytest.raises(PluginError, match="ZOO_DISABLE_PLUGINS keeps plugin augment out"):
        canonical("crop")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("function", r"augmentation 'acme/darken' could not be built: .*expected a zoo\.api\.Augmentation"),
        ("Growing", r"failed on the first training images: .*images \(2, 3, 8, 8\) became \(2, 3, 16, 16\)"),
        ("Unfit", "failed on the first training images: KeyError.*no such colour"),
    ],
)
def test_a_fault_of_it_is_the_plugin_s_before_training(plugin, target, words) -> None:
    plugin(target=target)
    with pytest.raises(PluginError, match=words) as caught:
        augmented("darken")
    assert "\n" not in str(caught.value)
