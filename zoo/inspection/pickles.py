"""Pickles, alone or in the zip of `torch.save`: what they would import."""

from __future__ import annotations

from pathlib import Path

from zoo.inspection.findings import Found, Unreadable
from zoo.support.pickle_scan import NotAPickle, foreign, imports


def read_pickle(path: Path, found: Found) -> None:
    try:
        names = imports(path)
    except NotAPickle as error:
        raise Unreadable("its opcodes cannot be read: it is damaged, or no pickle") from error
    others = foreign(names)
    found.facts["imports"] = len(names)
    found.list((name, "not needed for tensors" if name in others else "of tensors") for name in names)
    if others:
        found.refused.append(
            f"loading it would import {', '.join(others[:5])}"
            + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        )
    found.refused.append(
        "a pickle can run code when it is loaded: zoo reads tensors alone from it, by `zoo weights convert`"
    )
