"""What a training does when it is stopped, killed and resumed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import zoo
from zoo.errors import CheckpointError, Interrupted, UsageError
from zoo.reporting.console import Console
from zoo.runs import checkpoints
from zoo.runs.load_model import load
from zoo.runs.run_directory import RunDir, find
from zoo.support.atomic_files import sha256
from zoo.support.yaml_files import write_yaml

FAST = {
    "train": {"epochs": 2, "batch_size": 100, "log_steps": 5, "schedule": "constant"},
    "dataset": {"resize": 16},
    "device": "cpu",
}

COMMAND = [
    sys.executable, "-m", "zoo", "run", "cnn_digits", "--device", "cpu", "--epochs", "3", "--batch-size", "16",
    "--set", "train.checkpoint_steps=20", "--set", "train.log_samples=true", "--set", "train.log_steps=10", "--set",
    "dataset.resize=16",
    "--set", "train.schedule=cosine", "--set", "train.momentum=0.9", "--set", "train.optimizer=sgd", "--set",
    "dataset.val_fraction=0.1",
    "--set", "threads=2",
]  # fmt: skip
EVERYTHING = [
    "--augment", "flip, crop: 2, rotate: 10, color_jitter, pca_noise, erase, trivial_augment",
    *(word for key in (
        "warmup_epochs=0.5", "weight_decay=0.01", "weight_decay_scope=weights", "micro_batches=2", "ema_decay=0.99",
        "mixup=0.4", "cutmix=1.0",
        "patience=2", "clip_norm=1.0", "precision=fp16", "channels_last=true",
    ) for word in ("--set", f"train.{key}")),
]  # fmt: skip
"""With every feature of the trainer at once (but --compile, which a slow test has)."""


def final_state(run: RunDir):
    """Weights, and everything that was measured or written down, but for times."""
    rows = [line.split(",") for line in run.metrics_file.read_text().splitlines()]
    timed = {index for index, name in enumerate(rows[0]) if "seconds" in name or "per_second" in name}
    metrics = [[value for index, value in enumerate(row) if index not in timed] for row in rows]
    steps = [
        {key: value for key, value in json.loads(line).items() if key != "samples_per_second"}
        for line in run.steps_file.read_text().splitlines()
    ]
    return (
        load(run.path).state_dict(),
        metrics,
        steps,
        run.samples_file.read_text(),
        run.record.results,
        run.predictions_file.read_text(),
    )


@pytest.mark.parametrize(
    "more", [pytest.param([], id="plain", marks=pytest.mark.slow), pytest.param(EVERYTHING, id="everything")]
)
def test_a_killed_run_resumes_to_the_bit(tmp_path, more) -> None:
    """SIGKILL in the middle of an epoch; the samples that were logged say what was lost and that nothing was missed or
    repeated."""
    whole = subprocess.run(
        [*COMMAND, *more, "--out", str(tmp_path / "whole")], capture_output=True, text=True, check=False
    )
    assert whole.returncode == 0, whole.stderr
    samples = tmp_path / "killed" / "samples.jsonl"
    process = subprocess.Popen(
        [*COMMAND, *more, "--out", str(tmp_path / "killed")], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (samples.exists() and samples.read_bytes().count(b"\n") >= 110):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    killed = RunDir(tmp_path / "killed")
    assert killed.record.status == "running"  # nothing had the time to say otherwise
    spent = killed.record.seconds
    assert spent is not None and spent > 0  # those of the first epoch
    before = [json.loads(line)["step"] for line in samples.read_text().splitlines() if line.endswith("}")]
    checkpoint = checkpoints.newest_good(killed)[0]
    state = json.loads((checkpoint / "state.json").read_text())
    step = state["progress"]["step"]
    assert state["seconds"] > spent  # the checkpoint was written in the second epoch
    assert 0 <= before[-1] - step <= 20
    assert step % 81, "killed at the end of an epoch: nothing is verified"
    resumed = subprocess.run(
        [sys.executable, "-m", "zoo", "run", "--resume", str(killed.path)], capture_output=True, text=True, check=False
    )
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming from {checkpoint.name}" in resumed.stdout
    expected, found = final_state(RunDir(tmp_path / "whole")), final_state(killed)
    assert all(torch.equal(found[0][key], value) for key, value in expected[0].items())
    assert found[1:] == expected[1:]
    assert killed.record.seconds > state["seconds"]


def test_an_interrupted_run_leaves_a_checkpoint_and_resumes_in_process(tmp_path) -> None:
    class Interrupt(Console):
        def step(self, progress, batch_samples):
            if progress.step == 20:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted, match="resume=") as caught:
        zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "stopped", console=Interrupt(quiet=True))
    assert caught.value.exit_code == 130
    stopped = RunDir(tmp_path / "stopped")
    assert stopped.record.status == "interrupted"
    assert checkpoints.names(stopped.checkpoints)[0] == "step-000020"
    assert str(caught.value).startswith("interrupted at step 20 (epoch 2); a checkpoint was written (")
    assert stopped.error_file.exists()
    zoo.run(resume=stopped.path, console=Console(quiet=True))
    assert not stopped.error_file.exists(), "it is of the interruption, and the run is finished"
    record = find(stopped.path).record
    assert record.resumed == [{"step": 20, "epoch": 2, "batches": 5}]
    first, second = stopped.epochs()[:2]
    batch = stopped.config.train.batch_size
    for row, trained in ((first, record.samples["train"]), (second, record.samples["train"] - 5 * batch)):
        assert row["samples_per_second"] * row["train_seconds"] == pytest.approx(trained, rel=0.01)
    page = stopped.page_file.read_text(encoding="utf-8")
    assert "at step 20 (epoch 2)" in page and "Epoch 2 was resumed at step 20" in page
    whole = zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "whole", console=Console(quiet=True))
    assert find(stopped.path).record.status == "finished"
    assert all(
        torch.equal(value, load(whole.path).state_dict()[key]) for key, value in load(stopped.path).state_dict().items()
    )


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("ignored", [False, True], ids=["closed terminal", "nohup"])
def test_a_closed_terminal_stops_a_run_with_a_checkpoint_but_not_under_nohup(tmp_path, ignored) -> None:
    class Hangup(Console):
        def step(self, progress, batch_samples):
            if progress.step == 3:
                os.kill(os.getpid(), signal.SIGHUP)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    try:
        if ignored:
            assert (
                zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "run", console=Hangup(quiet=True)).record.status
                == "finished"
            )
        else:
            with pytest.raises(Interrupted) as caught:
                zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "run", console=Hangup(quiet=True))
            assert (
                caught.value.exit_code == 129
                and checkpoints.names(tmp_path / "run" / "checkpoints")[0] == "step-000003"
            )
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_best_checkpoint_that_is_damaged_while_training_goes_on_is_reported_as_lost(tmp_path) -> None:
    """Its epoch is not trained again, so the result is another one: the run says why."""
    lines = []

    class Damage(Console):
        def step(self, progress, batch_samples):
            if progress.epoch == 1 and progress.batch == 1:
                (file,) = (tmp_path / "run").glob("checkpoints/*/model.safetensors")
                file.write_bytes(file.read_bytes()[:-1] + b"?")

        def print(self, text):
            lines.append(text)

    overrides = {
        **FAST,
        "dataset": {"resize": 16, "val_fraction": 0.2},
        "train": {**FAST["train"], "checkpoint_steps": 14},
    }
    zoo.run("cnn_digits", overrides=overrides, out=tmp_path / "run", console=Damage(quiet=True))
    (lost,) = (line for line in lines if "the best epoch so far" in line)
    assert (
        lost.startswith("the checkpoint of the best epoch so far (epoch 1, val_accuracy 0.")
        and "is lost; the best is now" in lost
    )
    assert RunDir(tmp_path / "run").root.last.best.epoch == 2


@pytest.fixture
def stopped(tmp_path):
    class Interrupt(Console):
        def step(self, progress, batch_samples):
            if progress.step == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as caught:
        zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "stopped", console=Interrupt(quiet=True))
    assert caught.value.exit_code == 143
    return RunDir(tmp_path / "stopped")


def test_a_run_from_before_an_option_was_there_is_resumed_with_its_default(stopped) -> None:
    older = stopped.config.as_dict()
    del older["task"]["label_smoothing"]
    text = write_yaml(older)
    stopped.config_file.write_text(text)
    stopped.write_root(stopped.root.with_changes(config=older, config_sha256=hashlib.sha256(text.encode()).hexdigest()))
    assert zoo.run(resume=stopped.path, console=Console(quiet=True)).record.status == "finished"


def test_case_6_resume_with_a_conflicting_flag_says_which(stopped) -> None:
    with pytest.raises(UsageError, match=r"train\.lr is 0\.\d+ in the run, not 0\.5"):
        zoo.run(resume=stopped.path, overrides={"train": {"lr": 0.5}}, console=Console(quiet=True))


def test_resume_under_another_name_is_refused(stopped) -> None:
    with pytest.raises(UsageError, match="cnn_digits, not cnn_mnist"):
        zoo.run("cnn_mnist", resume=stopped.path, console=Console(quiet=True))


def test_case_64_another_number_of_threads_is_refused_without_inexact(stopped) -> None:
    state = json.loads((stopped.checkpoints / "step-000003" / "state.json").read_text())
    state["environment"]["threads"] = "77"
    _rewrite(stopped, state)
    with pytest.raises(CheckpointError, match=r"threads 77 → .*inexact="):
        zoo.run(resume=stopped.path, console=Console(quiet=True))
    assert zoo.run(resume=stopped.path, inexact=True, console=Console(quiet=True)).record.status == "finished"


def test_case_37_changed_data_is_refused(stopped) -> None:
    state = json.loads((stopped.checkpoints / "step-000003" / "state.json").read_text())
    _rewrite(stopped, state | {"fingerprint": "of other data"})
    with pytest.raises(CheckpointError, match="data has changed"):
        zoo.run(resume=stopped.path, console=Console(quiet=True))


def test_a_finished_run_is_not_resumed(tmp_path) -> None:
    result = zoo.run("cnn_digits", overrides=FAST, out=tmp_path / "run", console=Console(quiet=True))
    with pytest.raises(UsageError, match="finished"):
        zoo.run(resume=result.path)


def _rewrite(run: RunDir, state: dict) -> None:
    """A checkpoint as if it had been written with this state: its digests, and those of the root record, are of it."""
    entry = run.root.last
    state_file, manifest = run.checkpoints / entry.name / "state.json", run.checkpoints / entry.name / "MANIFEST.json"
    state_file.write_text(json.dumps(state))
    facts = json.loads(manifest.read_text())
    facts["files"]["state.json"] = sha256(state_file)
    manifest.write_text(json.dumps(facts))
    run.write_root(run.root.with_changes(checkpoints=(entry.model_copy(update={"digest": sha256(manifest)}),)))
