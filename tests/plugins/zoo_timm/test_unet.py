"""A U-Net on encoders of timm: convolutional ones, transformers, and those that timm has no features of."""

from __future__ import annotations

import pytest
import timm
import torch
from zoo_timm.unet import EncoderUNet, UNetOptions, build

from zoo.errors import UsageError


def made(encoder: str, side: int, channels: int = 3) -> EncoderUNet:
    torch.manual_seed(0)
    options = UNetOptions(encoder=encoder, width=2, widest=8)
    return build(options, in_channels=channels, num_outputs=5, image_size=(side, side)).eval()


@pytest.mark.parametrize(
    ("encoder", "side"),
    [("resnet10t", 32), ("mobilenetv3_small_050", 45), ("test_vit", 160), ("test_convnext", 64)],
)
def test_logits_have_the_size_of_the_image(encoder: str, side: int) -> None:
    model = made(encoder, side)
    with torch.no_grad():
        assert model(torch.randn(2, 3, side, side)).shape == (2, 5, side, side)


def test_the_encoder_is_timms() -> None:
    model, theirs = made("resnet10t", 32), timm.create_model("resnet10t", features_only=True).eval()
    model.encoder.load_state_dict(theirs.state_dict())
    inputs = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        for ours, other in zip(model.encoder(inputs), theirs(inputs), strict=True):
            torch.testing.assert_close(ours, other)


def test_features_with_channels_last_are_turned() -> None:
    model = made("swin_tiny_patch4_window7_224", 224)
    with torch.no_grad():
        assert model.encoder(torch.zeros(1, 3, 224, 224))[0].shape[-1] == model.widths[0]
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 5, 224, 224)


@pytest.mark.parametrize("encoder", ["resnet18.a1_in1k", "no_such_net"])
def test_an_unknown_encoder_is_refused(encoder: str) -> None:
    with pytest.raises(UsageError, match=f"timm has no network '{encoder}'"):
        made(encoder, 32)
