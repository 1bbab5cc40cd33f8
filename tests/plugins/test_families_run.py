"""Members of families, of thirty kinds of network, go the user's way: a step of training on digits, and an export that
onnxruntime proves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
QUICK = ["timm/test_vit", "torchvision/squeezenet1_1"]
NAMES = [
    "timm/cait_xxs24_224",
    "timm/coat_lite_tiny",
    "timm/convmixer_768_32",
    "timm/deit_tiny_distilled_patch16_224",
    "timm/edgenext_xx_small",
    "timm/efficientformerv2_s0",
    "timm/fastvit_t8",
    "timm/ghostnet_100",
    "timm/hrnet_w18_small",
    "timm/levit_128s",
    "timm/mixer_s32_224",
    "timm/mobilevit_xxs",
    "timm/poolformer_s12",
    "timm/pvt_v2_b0",
    "timm/repvgg_a0",
    "timm/resnet10t",
    "timm/xcit_nano_12_p16_224",
    "torchvision/alexnet",
    "torchvision/convnext_tiny",
    "torchvision/densenet121",
    "torchvision/efficientnet_b0",
    "torchvision/googlenet",
    "torchvision/mnasnet0_5",
    "torchvision/mobilenet_v3_small",
    "torchvision/regnet_y_400mf",
    "torchvision/resnext50_32x4d",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/swin_t",
    "torchvision/vgg11_bn",
    "torchvision/vit_b_32",
]


@pytest.fixture(scope="module")
def sampled() -> ModuleType:
    """The benchmark that does the same to a hundred."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        specification = importlib.util.spec_from_file_location("timm_sample", BENCHMARKS / "timm_sample.py")
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
    sys.modules.pop("_record", None)
    return module


@pytest.mark.filterwarnings("default")  # timm's and torch's own, as a user has them
@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES)])
def test_a_step_and_a_proved_export(name: str, sampled: ModuleType, tmp_path: Path) -> None:
    found = sampled.step_and_export(name, sampled.digits_folder(tmp_path / "digits"), tmp_path)
    # auxiliary classifiers are not in it
    assert (tmp_path / "bundle" / "model.onnx").stat().st_size > 2 * found["parameters"]
    assert found["opset"] >= 18


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_hundred_of_timms(sampled: ModuleType, tmp_path: Path) -> None:
    """The recorded table, once more: at least 98 of a seeded hundred build, train, are exported and verified."""
    data = sampled.digits_folder(tmp_path / "digits")
    rows = [sampled.attempt(name, data) for name, _ in sampled.sample(100, 0)]
    assert sum(row["ok"] for row in rows) >= 98, [(row["name"], row["reason"]) for row in rows if not row["ok"]]
