"""Which optimizers, schedules, precisions and options of tasks resume to the bit: the tables of docs/exact-resume.md.

    python benchmarks/resume_exactness.py           write them
    python benchmarks/resume_exactness.py --check   compare with the page, write nothing

The first has every optimizer that torch and timm list, alone and under lookahead, by every schedule and precision. Each
cell is what a run does before its first step (`zoo.training.resume_check`): four steps, a checkpoint in memory, and
nine more steps twice. Optimizers that need another library (apex, bitsandbytes) are tried as well, and their refusal
names it. The second table is of whole runs (`resume_tasks.py`). On two CPU cores both take some twenty minutes.
"""

from __future__ import annotations

import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import resume_tasks
import torch
from torch import nn

from zoo.config.run_config import TrainConfig
from zoo.errors import ZooError
from zoo.training.devices import Engine
from zoo.training.optimizers import SCHEDULES, TORCH
from zoo.training.resume_check import check_exact

PAGE = Path(__file__).parents[1] / "docs" / "exact-resume.md"
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
EVERY_SCHEDULE = ("constant", *SCHEDULES)
OPTIONS: tuple[dict[str, object], ...] = (
    {"ema_decay": 0.9},
    {"clip_norm": 1.0},
    {"weight_decay_scope": "weights", "weight_decay": 0.01},
    {"warmup_epochs": 0.5},
)
MARK = "<!-- benchmarks/resume_exactness.py -->"
KRON = "kron"
"""It takes half a minute a case, and so do its variants (kronc, kronw, lookahead_kron…), which are left out."""
TASKS = "Runs that were stopped in their first epoch and resumed, for each task and option:"


def optimizers() -> list[str]:
    """All names, by the libraries' own listings, but for the variants of kron."""
    from timm.optim import list_optimizers

    plain = list_optimizers()
    found = sorted({*TORCH, *plain}) + [f"lookahead_{name}" for name in sorted(plain)]
    return [name for name in found if "kron" not in name or name == KRON]


def model() -> nn.Module:
    """Parameters of one to four dimensions."""
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv1d(1, 2, 3), nn.Linear(2, 2))


def refusal(optimizer: str, schedule: str, precision: str, options: dict[str, object]) -> str | None:
    """Why a run with these settings is refused, or None where it resumes to the bit."""
    engine = Engine(torch.device("cpu"), PRECISIONS[precision], torch.contiguous_format)
    needed = {"stable_timescale": 2.0} if schedule == "rsqrt" else {}
    train = TrainConfig.model_validate(
        {"optimizer": optimizer, "schedule": schedule, "schedule_options": needed, "epochs": 4, **options}
    )
    try:
        with warnings.catch_warnings(action="ignore"):
            check_exact(train, model(), engine, 40)
    except ZooError as error:
        return re.sub(r"\s+", " ", error.what).replace("|", "/")
    return None


def cases(precision: str) -> list[tuple[str, dict[str, object]]]:
    """Schedules and options to try: all of them in fp32; by one schedule where only the precision differs, which the
    schedule knows nothing of."""
    if precision != "fp32":
        return [("cosine", {})]
    return [*((schedule, {}) for schedule in EVERY_SCHEDULE), *(("cosine", options) for options in OPTIONS)]


def row(name: str) -> str:
    """A line of the table: by precision, in how many of the cases the bits are the same, and the first reason where
    they are not."""
    cells, reasons = [], []
    for precision in PRECISIONS:
        found = [refusal(name, schedule, precision, options) for schedule, options in cases(precision)]
        reasons += [reason for reason in found if reason is not None]
        exact = sum(reason is None for reason in found)
        cells.append(f"exact, {exact} of {len(found)}" if exact else "refused")
    return f"| `{name}` | {' | '.join(cells)} | {reasons[0][:150] if reasons else ''} |"


BOTH = "Exact in all cases, alone and as `lookahead_NAME`: "
ALONE = "Exact in all cases, without lookahead: "
LOOKAHEAD = "Exact in all cases, as written: "
EXACT = "exact, 12 of 12 | exact, 1 of 1 | exact, 1 of 1 |  |"
"""The cells of an optimizer that resumes to the bit in every case."""


def lines(names: Sequence[str]) -> Iterator[str]:
    tails = {}
    for name in names:
        tails[name] = row(name).removeprefix(f"| `{name}` | ")
        print(f"{name} done", file=sys.stderr)
    yield from summary(tails)


def summary(tails: Mapping[str, str]) -> Iterator[str]:
    """The names that are exact in all cases, as lists; the others as a table with one row for each result."""
    exact = {name for name, tail in tails.items() if tail == EXACT}
    alone = sorted(name for name in exact if not name.startswith("lookahead_"))
    both = [name for name in alone if f"lookahead_{name}" in exact]
    others = sorted(exact - {*alone} - {f"lookahead_{name}" for name in both})
    for text, names in ((BOTH, both), (ALONE, [name for name in alone if name not in both]), (LOOKAHEAD, others)):
        if names:
            yield from textwrap.wrap(text + listed(names), 150)
            yield ""
    yield from ("| optimizers | fp32 | bf16 | fp16 | refused because |", "| --- | --- | --- | --- | --- |")
    for tail in dict.fromkeys(tail for tail in tails.values() if tail != EXACT):
        yield f"| {listed([name for name in tails if tails[name] == tail])} | {tail}"


def listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    new = (
        "\n".join([text.partition(MARK)[0] + MARK, "", *lines(optimizers()), "", TASKS, "", *resume_tasks.lines()])
        + "\n"
    )
    if "--check" in sys.argv:
        sys.exit(0 if new == text else f"{PAGE} is not what was found")
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
