"""Runs are recorded by the installed clients, and read back by the clients' own readers: TensorBoard's
EventAccumulator, MlflowClient, the records of wandb's files, and trackio.Api."""

from __future__ import annotations

import importlib.util
import os
import signal
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import zoo
from zoo.api import Exported
from zoo.errors import Interrupted
from zoo.registry.lookup import registry
from zoo.reporting.console import Console
from zoo.runs.run_directory import RunDir

MODULES = {"tensorboard": "tensorboard", "mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio"}
INSTALLED = [name for name, module in MODULES.items() if importlib.util.find_spec(module)]
TINY = {"train": {"epochs": 3, "log_steps": 10, "batch_size": 128}, "dataset": {"resize": 16, "val_fraction": 0.2}}


def needs(name: str) -> Any:
    return pytest.mark.skipif(
        name not in INSTALLED, reason=f"{name} is not installed (pip install 'torch-zoo[{name}]')"
    )


class Stopping(Console):
    """Stops the run after an epoch, as Ctrl-C does."""

    def epoch(self, progress: Any, row: dict[str, float]) -> None:
        super().epoch(progress, row)
        if row["epoch"] == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunDir]:
    """A run with every installed tracker: stopped after the first epoch, resumed, and then exported."""
    folder = tmp_path_factory.mktemp("tracked")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ZOO_RUNS", str(folder / "runs"))
        patch.setenv("ZOO_TRACK", ",".join(INSTALLED))
        patch.setenv("TRACKIO_DIR", str(folder / "trackio"))
        for name in (
            "MLFLOW_TRACKING_URI",
            "MLFLOW_EXPERIMENT_NAME",
            "WANDB_MODE",
            "WANDB_DIR",
            "WANDB_PROJECT",
            "TRACKIO_PROJECT",
        ):
            patch.delenv(name, raising=False)
        with pytest.raises(Interrupted):
            zoo.run("cnn_digits", overrides={"name": "first", **TINY}, console=Stopping())
        done = zoo.run(resume="first")
        record = done.record.model_dump(mode="json")
        assert done.path is not None
        event = Exported(record=record, run=done.path, bundle=folder / "exports" / "digits", verification={})
        assert registry().send(event) == []
        yield RunDir(done.path)


def test_nothing_of_the_run_was_disturbed(run: RunDir) -> None:
    assert "warning" not in run.log_file.read_text()
    assert run.record.status == "finished" and [row["epoch"] for row in run.epochs()] == [1, 2, 3]


def expected(run: RunDir) -> tuple[dict[int, float], dict[int, float], dict[str, float]]:
    """Return the batch losses and the epochs' accuracy, each by step, and the results: by zoo's files."""
    losses = {int(row["step"]): row["loss"] for row in run.steps()}
    accuracies = {int(row["step"]): row["val_accuracy"] for row in run.epochs()}
    return losses, accuracies, run.record.results["test"]


def references(run: RunDir) -> dict[str, str]:
    assert run.record.checkpoint is not None
    return {
        "report": str(run.page_file.absolute()),
        "checkpoint": str(run.checkpoints.absolute() / run.record.checkpoint),
        "export_digits": str(run.path.parents[2] / "exports" / "digits"),
    }


@needs("tensorboard")
def test_tensorboard_has_every_value_once(run: RunDir) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.path / "tensorboard"), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    losses, accuracies, results = expected(run)
    found = {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert found["step/loss"] == [(step, pytest.approx(value, rel=1e-6)) for step, value in losses.items()]
    assert found["epoch/val_accuracy"] == [(step, pytest.approx(value)) for step, value in accuracies.items()]
    assert found["test/accuracy"] == [(max(accuracies), pytest.approx(results["accuracy"]))]
    texts = {
        tag: events.Tensors(f"{tag}/text_summary")[-1].tensor_proto.string_val[0].decode() for tag in references(run)
    }
    assert texts == {name: f"`{path}`" for name, path in references(run).items()}
    assert "| train.epochs | 3 |" in events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert [each.tensor_proto.string_val[0] for each in events.Tensors("status/text_summary")][:2] == [
        b"interrupted",
        b"finished",
    ]


@needs("mlflow")
def test_mlflow_has_one_run_with_every_value_once(run: RunDir) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{run.path.parents[2] / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("zoo")
    (found,) = client.search_runs([experiment.experiment_id])
    losses, accuracies, results = expected(run)
    assert found.info.status == "FINISHED" and found.info.run_name == "cnn_digits/first"

    def history(metric: str) -> list[tuple[int, float]]:
        return sorted((each.step, each.value) for each in client.get_metric_history(found.info.run_id, metric))

    assert history("step/loss") == [(step, pytest.approx(value)) for step, value in losses.items()]
    assert history("epoch/val_accuracy") == [(step, pytest.approx(value)) for step, value in accuracies.items()]
    assert history("test/accuracy") == [(max(accuracies), pytest.approx(results["accuracy"]))]
    assert found.data.params["train.epochs"] == "3" and found.data.params["dataset.name"] == "datasets/digits"
    assert {name: found.data.tags[f"zoo.{name}"] for name in references(run)} == references(run)


@needs("trackio")
def test_trackio_has_one_run_with_every_value_once(run: RunDir) -> None:
    import trackio
    from trackio.sqlite_storage import SQLiteStorage

    (found,) = trackio.Api().runs("zoo")
    assert found.name.startswith("cnn_digits/first ") and found.config["train.epochs"] == 3
    rows = SQLiteStorage.get_logs("zoo", found.name)
    losses, accuracies, results = expected(run)
    assert [(row["step"], row["step/loss"]) for row in rows if "step/loss" in row] == list(losses.items())
    assert [(row["step"], row["epoch/val_accuracy"]) for row in rows if "epoch/val_accuracy" in row] == list(
        accuracies.items()
    )
    assert [row["test/accuracy"] for row in rows if "test/accuracy" in row] == [results["accuracy"]]
    last: dict[str, Any] = {}
    for row in rows:
        last |= row
    assert {name: last[name] for name in references(run)} == references(run)


def records(file: Path) -> Iterator[Any]:
    """The records of a .wandb file: the log format of LevelDB (blocks of 32 KiB, chunks of a CRC, a length and a type),
    after a header of 7 bytes; each is a protobuf message of wandb."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # no room for a header: the block is padded
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last chunk
            yield Record.FromString(parts)
            parts = b""


@needs("wandb")
def test_wandb_has_each_part_of_the_run_under_one_id(run: RunDir) -> None:
    import json

    files = sorted(
        (run.path.parents[2] / "wandb").glob("offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime_ns
    )
    found = [each for file in files for each in records(file)]
    started = [each.run for each in found if each.WhichOneof("record_type") == "run"]
    assert len({each.run_id for each in started}) == 1 and {each.display_name for each in started} == {
        "cnn_digits/first"
    }
    config = {each.key: json.loads(each.value_json) for each in started[0].config.update}
    assert config["train.epochs"] == 3 and config["dataset.name"] == "datasets/digits"
    history: dict[str, dict[int, float]] = {}
    for each in found:
        if each.WhichOneof("record_type") == "history":
            for item in each.history.item:
                name = item.key or "/".join(item.nested_key)
                history.setdefault(name, {})[each.history.step.num] = json.loads(item.value_json)
    losses, accuracies, results = expected(run)
    assert history["step/loss"] == losses and history["epoch/val_accuracy"] == accuracies
    assert history["test/accuracy"] == {max(accuracies): results["accuracy"]}
    summary = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json)
        for each in found
        if each.WhichOneof("record_type") == "summary"
        for item in each.summary.update
    }
    assert {name: summary[name] for name in references(run)} == references(run)
    assert [each.exit.exit_code for each in found if each.WhichOneof("record_type") == "exit"] == [1, 0, 0]
