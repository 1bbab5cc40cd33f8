"""The augmentations that come with zoo."""

from __future__ import annotations

from collections.abc import Sequence

from zoo.api import AugmentationSpec, hookimpl

ZOO_API = "2.0"


@hookimpl
def zoo_register_augmentations() -> Sequence[AugmentationSpec]:
    return [
        _spec("flip", "whole_pixels:Flip", "Mirror left and right, or top and bottom."),
        _spec(
            "shift",
            "whole_pixels:Shift",
            "Translate by a random whole number of pixels, by up to a given fraction of the width or height. "
            "Uncovered pixels are black.",
        ),
        _spec(
            "crop",
            "whole_pixels:Crop",
            "Pad every side by a given number of pixels, then crop a random region of the original size.",
        ),
        _spec(
            "rotate",
            "between_pixels:Rotate",
            "Rotate about the centre by a random angle from -degrees to degrees. Uncovered pixels are black.",
        ),
        _spec(
            "resized_crop",
            "between_pixels:ResizedCrop",
            "Crop a random fraction of the area at a random aspect ratio, and resize it to the network's input size "
            "(Szegedy et al. 2014).",
            "https://arxiv.org/abs/1409.4842",
        ),
        _spec(
            "color_jitter",
            "colours:ColorJitter",
            "Change brightness, contrast, saturation (factors from 1 - x to 1 + x) and hue (shifted by up to ±x of the "
            "colour circle), in this order.",
        ),
        _spec(
            "pca_noise",
            "colours:PCANoise",
            "PCA colour augmentation of AlexNet: along each principal component of the colours of the training pixels, "
            "add eigenvalue · N(0, sd) (Krizhevsky et al. 2012, section 4.1).",
            "https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks",
        ),
        _spec(
            "erase",
            "colours:Erase",
            "Random erasing: fill a random rectangle with the mean colour of the dataset (Zhong et al. 2017).",
            "https://arxiv.org/abs/1708.04896",
        ),
        _spec(
            "trivial_augment",
            "trivial_augment:TrivialAugment",
            "For each image, apply one randomly chosen operation at one of 31 magnitudes (TrivialAugmentWide; Müller "
            "and Hutter 2021).",
            "https://arxiv.org/abs/2103.10158",
        ),
    ]


def _spec(name: str, target: str, summary: str, source: str | None = None) -> AugmentationSpec:
    options = f"zoo_augment.options:{target.partition(':')[2]}"
    return AugmentationSpec(name=name, summary=summary, source=source, target=f"zoo_augment.{target}", options=options)
