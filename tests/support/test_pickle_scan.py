"""What a pickle would import is read from its opcodes, in every form that torch and pickle write, and nothing of it
runs."""

from __future__ import annotations

import argparse
import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch

from zoo.support.pickle_scan import NotAPickle, foreign, imports


class Call:
    def __reduce__(self) -> Any:
        return (os.system, ("touch owned",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_is_named_whatever_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps([Call(), Call()], protocol))
    assert imports(tmp_path / "evil.pkl") == [f"{os.system.__module__}.system"]
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("as_archive", [True, False])
def test_tensors_alone_are_told_from_the_rest(tmp_path: Path, as_archive: bool) -> None:
    state = OrderedDict(weight=torch.ones(2, 3, dtype=torch.float16), wrapped=torch.nn.Parameter(torch.ones(1)))
    torch.save(state, tmp_path / "net.pth", _use_new_zipfile_serialization=as_archive)
    assert imports(tmp_path / "net.pth") and foreign(imports(tmp_path / "net.pth")) == []
    torch.save(
        {"state": state, "args": argparse.Namespace(lr=1)},
        tmp_path / "more.pth",
        _use_new_zipfile_serialization=as_archive,
    )
    assert foreign(imports(tmp_path / "more.pth")) == ["argparse.Namespace"]


@pytest.mark.parametrize("content", [b"<html>", b"PK\x03\x04 cut off", b"\x80\x02", b"\xff" * 100])
def test_what_is_no_pickle_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(NotAPickle):
        imports(tmp_path / "file")


def test_a_pickle_that_is_cut_off_names_what_it_has_named_so_far(tmp_path: Path) -> None:
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps([Call(), "x" * 50], 2)[:40])
    assert imports(tmp_path / "cut.pkl") == [f"{os.system.__module__}.system"]
