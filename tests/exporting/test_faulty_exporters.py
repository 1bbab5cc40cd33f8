"""What the exporter of a third party must not do: nothing is published then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from zoo.api import Exporter, ExportJob, FileFacts, Options
from zoo.errors import ExportError, SetupError
from zoo.exporting.export import Bundle
from zoo.runs.load_model import LoadedModel


class Runner:
    """An opened file, whose text the test gives."""

    runtime, provider = "torch", "cpu"

    def __init__(self, model: nn.Module, metadata: Mapping[str, str]) -> None:
        self.model, self.metadata = model, metadata

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            return {"output": self.model(torch.from_numpy(inputs["input"])).numpy()}

    def close(self) -> None:
        pass


class Plain(Exporter[Options]):
    """Writes no network: it remembers the job, and gives its model to the runner. ``files`` are written, too."""

    def __init__(self, files: Mapping[str, bytes] = {}, client: Mapping[str, bytes] = {}, **metadata: str) -> None:
        super().__init__(Options())
        self.files, self.files_of_client, self.metadata, self.calls = files, client, metadata, list[str]()
        self.job: ExportJob | None = None

    def require(self, job: ExportJob | None, provider: str) -> None:
        assert job is not None and not job.model.training and job.example.shape == (2, 1, 8, 8)
        self.calls.append(f"require {provider}")

    def write(self, job: ExportJob, path: Path) -> None:
        self.calls.append("write")
        self.job = job
        for name, content in {path.name: b"the model", **self.files}.items():
            path.with_name(name).write_bytes(content)

    def check(self, path: Path, job: ExportJob | None) -> FileFacts:
        self.calls.append("check")
        return FileFacts(path.stat().st_size)

    def open(self, path: Path, provider: str, threads: int | None = None) -> Runner:
        assert self.job is not None
        self.calls.append("open")
        return Runner(self.job.model, {key: self.metadata.get(key, value) for key, value in self.job.metadata.items()})

    def client(self, description: dict[str, Any]) -> Mapping[str, bytes]:
        return self.files_of_client


def assert_nothing_published(tmp_path: Path) -> None:
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


def test_the_least_exporter_is_enough(run_export: Callable[..., Bundle]) -> None:
    bundle = run_export(exporter=Plain())
    assert bundle.verification["predict"]["decisions_agree"] == 27


def test_an_exporter_that_writes_no_file_is_refused(run_export: Callable[..., Bundle], tmp_path: Path) -> None:
    class Silent(Plain):
        def write(self, job: ExportJob, path: Path) -> None:
            path.with_name("model.other").write_bytes(b"another name")

    with pytest.raises(ExportError, match=r"the exporter wrote no model\.onnx; fix: report it") as caught:
        run_export(exporter=Silent())
    assert caught.value.exit_code == 5
    assert_nothing_published(tmp_path)


@pytest.mark.parametrize("name", ["bundle.json", "verify.json", "README.md", ".hidden"])
def test_an_exporter_that_writes_a_file_of_the_bundle_is_refused(
    run_export: Callable[..., Bundle], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ExportError, match=f"the exporter cannot name a file '{name}'; fix: report it"):
        run_export(exporter=Plain(files={name: b"{}"}))
    assert_nothing_published(tmp_path)


@pytest.mark.parametrize(
    "name", ["bundle.json", "verify.json", "README.md", "model.onnx", "../out.py", "/etc/zoo", "a/b.py", ".hidden"]
)
def test_a_client_that_replaces_a_file_of_the_bundle_is_refused(
    run_export: Callable[..., Bundle], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ExportError, match=f"the exporter cannot name a file '{name}'; fix: report it"):
        run_export(exporter=Plain(client={name: b"{}"}))
    assert_nothing_published(tmp_path)


def test_an_exporter_that_writes_a_folder_is_refused(run_export: Callable[..., Bundle], tmp_path: Path) -> None:
    class Foldered(Plain):
        def write(self, job: ExportJob, path: Path) -> None:
            super().write(job, path)
            path.with_name("model.files").mkdir()

    with pytest.raises(ExportError, match=r"the exporter wrote a folder, model\.files; fix: report it"):
        run_export(exporter=Foldered())
    assert_nothing_published(tmp_path)


def test_require_is_called_before_anything_is_computed(
    run_export: Callable[..., Bundle],
    make_loaded: Callable[..., LoadedModel],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    exporter, loaded = Plain(), make_loaded()
    monkeypatch.setattr("zoo.exporting.samples.real_samples", lambda *_: pytest.fail("images are read"))
    loaded.model.register_forward_pre_hook(lambda *_: pytest.fail("the model runs"))

    def refuse(job: ExportJob | None, provider: str) -> None:
        assert job is not None and (provider, exporter.calls) == ("cpu", [])
        raise SetupError("the converter is not installed", fix="pip install converter")

    monkeypatch.setattr(exporter, "require", refuse)
    loaded.model.train()
    with pytest.raises(SetupError, match="not installed; fix: pip install converter") as caught:
        run_export(loaded, exporter=exporter)
    assert (caught.value.exit_code, exporter.calls) == (6, [])
    assert_nothing_published(tmp_path)


def test_the_steps_of_an_export_come_in_their_order(run_export: Callable[..., Bundle]) -> None:
    exporter = Plain()
    run_export(exporter=exporter)
    assert exporter.calls == ["require cpu", "write", "check", "open", "open"]


@pytest.mark.parametrize("key", ["zoo", "classes", "description"])
def test_a_runner_whose_metadata_differ_is_refused(run_export: Callable[..., Bundle], tmp_path: Path, key: str) -> None:
    with pytest.raises(ExportError, match=f"the metadata '{key}' is altered in the file") as caught:
        run_export(exporter=Plain(**{key: "{}"}))
    assert caught.value.exit_code == 5
    assert_nothing_published(tmp_path)


def test_a_runner_that_lost_a_part_of_the_metadata_is_refused(
    run_export: Callable[..., Bundle], tmp_path: Path
) -> None:
    class Losing(Plain):
        def open(self, path: Path, provider: str, threads: int | None = None) -> Runner:
            runner = super().open(path, provider, threads)
            runner.metadata = {"name": runner.metadata["name"]}
            return runner

    with pytest.raises(ExportError, match="the metadata 'zoo' is missing from the file"):
        run_export(exporter=Losing())
    assert_nothing_published(tmp_path)


def test_another_format_whose_outputs_differ_names_what_else_to_try(
    run_export: Callable[..., Bundle], tmp_path: Path
) -> None:
    class Wrong(Plain):
        alternative = "try --set export.strict=true"

        def open(self, path: Path, provider: str, threads: int | None = None) -> Runner:
            runner = super().open(path, provider, threads)
            inner = runner.model

            class Louder(nn.Module):
                def forward(self, inputs: Tensor) -> Tensor:
                    outputs: Tensor = inner(inputs) * 1.01
                    return outputs

            runner.model = Louder()
            return runner

    said = "first mismatch: no layer by itself .*fix: nothing was published; look at that layer, or try --set export"
    with pytest.raises(ExportError, match=said):
        run_export(exporter=Wrong())
    assert_nothing_published(tmp_path)
