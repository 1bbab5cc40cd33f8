"""docs/tutorial-transfer.md: its commands run, in their order, and what they reach is in the order of its table."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from zoo.cli.app import run_cli
from zoo.runs.run_directory import all_runs

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial-transfer.md").read_text(encoding="utf-8")
COMMANDS = [
    line[2:]
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S)
    for line in block.splitlines()
    if line.startswith("$ zoo ")
]


@pytest.mark.slow
def test_the_commands_come_out_as_the_page_says(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    told = ""
    for command in COMMANDS:
        code = run_cli(shlex.split(command)[1:])
        said = capsys.readouterr()
        assert code == 0, f"{command}\n{said.out}\n{said.err}"
        told += said.out
    assert "6 of 8 tensors; re-initialised: fc2.weight 5×50, fc2.bias 5" in told
    assert "the output of relu_2 (50 values per image) is cached for train" in told
    records = {run.path.name: run.record for run in all_runs()}
    pretrained = next(record for record in records.values() if record.label == "digits_pretrain")
    transferred = next(
        record for name, record in records.items() if record.label == "digits_transfer" and name.startswith("20")
    )
    assert (pretrained.parameters, transferred.trainable, pretrained.samples["test"], transferred.samples["test"]) == (
        6167,
        255,
        181,
        179,
    )
    reached = {name: record.results["test"]["accuracy"] for name, record in records.items()}
    last_layer = transferred.results["test"]["accuracy"]
    assert (
        reached["frozen-chance"] < last_layer < reached["fine-tuned"] and pretrained.results["test"]["accuracy"] > 0.98
    )
    assert abs(last_layer - 0.933) < 4 * 0.008 and abs(reached["fine-tuned"] - 0.986) < 4 * 0.008
