from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from zoo_torch_export.client import TorchRunner
from zoo_torch_export.exporter import TorchExporter

from zoo.api import MAIN_INPUT, MAIN_OUTPUT, ExportJob, Options
from zoo.errors import ExportError, SetupError
from zoo.plugin import runtime

EXPORTER = TorchExporter(Options())
METADATA = {"zoo": '{"ä": 1}'}


class Call(nn.Module):
    """One function of tensors, as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs)


class Net(nn.Module):
    """Takes (B, 1, 8, 8). A module that is called twice, functions between modules, and one odd module."""

    def __init__(self, odd: Callable[[Tensor], Tensor] = torch.neg) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.odd = Call(odd)
        self.square = nn.Linear(144, 16)
        self.twice = nn.Linear(16, 16)
        self.head = nn.Linear(16, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = self.odd(self.trunk(inputs)).flatten(1)  # (B, 4, 6, 6) → (B, 144)
        hidden = F.hardswish(self.square(hidden) * 1.5)
        logits: Tensor = self.head(torch.tanh(self.twice(torch.tanh(self.twice(hidden)))))
        return logits


def job(model: nn.Module | None = None, batch: int | None = None) -> ExportJob:
    return ExportJob((model or Net()).eval(), torch.zeros(2, 1, 8, 8), batch=batch, metadata=METADATA)


def written(path: Path, model: nn.Module | None = None, batch: int | None = None) -> Path:
    EXPORTER.write(job(model, batch), path)
    return path


def by_condition(inputs: Tensor) -> Tensor:
    return torch.cond(inputs.sum() > 0, lambda x: x * 2, lambda x: x + 1, (inputs,))


def by_size(inputs: Tensor) -> Tensor:
    batch, channels, height, width = inputs.shape
    flat = inputs.reshape(batch * channels, height * width) + torch.zeros(batch * channels, 1)
    return flat.reshape(batch, channels, height, width) / (batch + 1)


ODD = {
    "a constant": lambda x: x * torch.tensor([0.5, -1.0, 2.0, 3.0]).reshape(4, 1, 1),
    "a condition": by_condition,
    "sizes of the batch": by_size,
    "a mode by name": lambda x: F.pad(F.gelu(x, approximate="tanh"), (1, 1, 1, 1), mode="reflect")[:, :, 1:-1, 1:-1],
    "an infinite number": lambda x: x.clamp(max=float("inf")).masked_fill(x > 1e9, float("-inf")),
    "no gradients": torch.no_grad()(torch.sin),
    "several results": lambda x: torch.cat(x.sort(1).values.split(2, 1), 1),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_archive_computes_the_same_for_any_batch(tmp_path: Path, odd: str) -> None:
    model = Net(ODD[odd]).eval()
    path = written(tmp_path / "model.pt2", model)
    assert EXPORTER.check(path, job(model)).size_bytes == path.stat().st_size
    runner = TorchRunner(path)
    for batch in (1, 2, 7):
        inputs = torch.randn(batch, 1, 8, 8)
        with torch.no_grad():
            torch.testing.assert_close(
                torch.from_numpy(runner({MAIN_INPUT: inputs.numpy()})[MAIN_OUTPUT]), model(inputs)
            )
    assert (runner.provider, runner.metadata) == ("cpu", METADATA)
    assert EXPORTER.first_mismatch(path, model, inputs, 1e-4) is None


@pytest.mark.parametrize("batch", [None, 1, 3])
def test_the_batch_is_the_one_asked_for(tmp_path: Path, batch: int | None) -> None:
    path = written(tmp_path / "model.pt2", batch=batch)
    assert EXPORTER.check(path, job(batch=batch)).details["input_shape"] == [batch or "N", 1, 8, 8]
    other = 2 if batch is None else None
    with pytest.raises(ExportError, match="the batch of the archive is"):
        EXPORTER.check(path, job(batch=other))
    if batch is not None:
        with pytest.raises(RuntimeError, match="to be equal to"):
            TorchRunner(path)({MAIN_INPUT: torch.zeros(batch + 1, 1, 8, 8).numpy()})


def test_two_archives_of_a_network_are_equal_byte_by_byte_and_name_no_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first, second = written(tmp_path / "model.pt2").read_bytes(), written(tmp_path / "other" / "model.pt2").read_bytes()
    assert first == second
    assert str(Path(torch.__file__).parent).encode() not in first
    assert b"test_exporter.py" not in first


def test_an_archive_has_no_pickle(tmp_path: Path) -> None:
    with zipfile.ZipFile(written(tmp_path / "model.pt2")) as archive:
        pickles = [info for info in archive.infolist() if info.filename.endswith(".pt") and info.file_size]
        assert pickles == []


def branch(inputs: Tensor) -> Tensor:
    return inputs * 2 if inputs.sum() > 0 else inputs


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (branch, r"data-dependent control flow.*\(odd \(Call\)\)"),
        (lambda x: torch.from_numpy(x.numpy() * 2), r"cannot be traced: .*\(odd \(Call\)\)"),
        (lambda x: x.view(2, 4, 6, 6), r"works only for a batch of 2; fix: export with --batch 2"),
    ],
    ids=["a data-dependent branch", "a detour through numpy", "a batch that is fixed in the code"],
)
def test_what_cannot_be_traced_is_named_and_leaves_no_file(
    tmp_path: Path, odd: Callable[[Tensor], Tensor], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        written(tmp_path / "model.pt2", Net(odd))
    assert list(tmp_path.iterdir()) == []


def test_an_operator_of_another_library_is_refused(tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    boxes = torch.tensor([[0.0, 0, 1, 1]])
    path = written(tmp_path / "model.pt2", Net(lambda x: x * torchvision.ops.nms(boxes, boxes[:, 0], 0.5).sum()))
    with pytest.raises(ExportError, match=r"torch.ops.torchvision.nms.default"):
        EXPORTER.check(path, None)


def test_another_model_is_named_by_its_first_layer(tmp_path: Path) -> None:
    model = Net().eval()
    path, inputs = written(tmp_path / "model.pt2", model), torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        model.twice.weight[0, 0] += 1
    assert EXPORTER.first_mismatch(path, model, inputs, 1e-4) == "twice (Linear)"
    with torch.no_grad():
        model.trunk[1].running_mean += 1
    assert EXPORTER.first_mismatch(path, model, inputs, 1e-4) == "trunk.1 (BatchNorm2d)"


def test_a_function_outside_of_the_layers_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "model.pt2")
    monkeypatch.setattr(F, "hardswish", F.relu)
    found = EXPORTER.first_mismatch(path, Net().eval(), torch.randn(3, 1, 8, 8), 1e-4)
    assert found == "aten.hardswish.default 'hardswish', called by Net"


def test_metadata_that_is_another_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "model.pt2")
    other = ExportJob(Net().eval(), torch.zeros(2, 1, 8, 8), metadata={"zoo": "{}"})
    with pytest.raises(ExportError, match="the metadata 'zoo'"):
        EXPORTER.check(path, other)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"CUDA.*fix: .*(driver|pip install torch)"):
        EXPORTER.require(None, "cuda")
    with pytest.raises(runtime.SetupError):
        TorchRunner(written(tmp_path / "model.pt2"), "cuda")


def test_the_number_of_threads_holds_for_the_file_alone(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    runner = TorchRunner(written(tmp_path / "model.pt2"), threads=before + 1)
    runner({MAIN_INPUT: torch.zeros(2, 1, 8, 8).numpy()})
    assert torch.get_num_threads() == before


@pytest.mark.gpu
def test_on_cuda_it_computes_what_the_cpu_does_without_tf32(tmp_path: Path) -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.Flatten(), nn.Linear(1024, 10)
    ).eval()
    runner, inputs = TorchRunner(written(tmp_path / "model.pt2", model), "cuda"), torch.randn(7, 1, 8, 8)
    assert runner.provider == "cuda"
    with torch.no_grad():
        expected = model(inputs)
    found = torch.from_numpy(runner({MAIN_INPUT: inputs.numpy()})[MAIN_OUTPUT])
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()  # with TF32 some 1e-3


def test_torch_is_imported_only_when_a_file_is_opened() -> None:
    code = "import sys, zoo_torch_export.exporter, zoo_torch_export.inspecting; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0
