"""Tables fit into the terminal; in a pipe they are printed in full."""

from __future__ import annotations

import pytest

from zoo.cli import output
from zoo.cli.tables import lay_out

COLUMNS = ["name", "bytes", "licence", "address"]
ROWS = [
    ["first", "1,024", "as the authors state it in the file beside the weights", "https://example.org/first.bin"],
    ["second", "9", "", "https://example.org/a/longer/address/of/a/file/second.bin"],
]


def texts(room: int | None, flexible: int | None = None) -> list[str]:
    return [line.text for line in lay_out(COLUMNS, ROWS, room=room, flexible=flexible)]


def test_a_table_is_printed_in_full_where_there_is_room() -> None:
    assert texts(None) == texts(200)
    assert len(texts(None)) == 3
    assert texts(None)[1].split("  ")[-1] == ROWS[0][3]


def test_text_is_wrapped_and_columns_without_room_go_below_behind_the_first() -> None:
    assert texts(44) == [
        "name    bytes  licence",
        "first   1,024  as the authors state it in",
        "               the file beside the weights",
        "second  9",
        "",
        "name    address",
        "first   https://example.org/first.bin",
        "second  https://example.org/a/longer/address/of/a/file/second.bin",  # an address is not broken
    ]


@pytest.mark.parametrize("room", [30, 44, 60, 80, 100, 140])
def test_no_word_is_lost_at_any_width(room) -> None:
    words = {word for row in [COLUMNS, *ROWS] for cell in row for word in cell.split()}
    lines = texts(room)
    assert words == {word for line in lines for word in line.split()}
    assert all(len(line) <= room or "https://" in line for line in lines)


def test_a_flexible_column_is_wrapped_so_that_the_later_ones_stay_beside_it() -> None:
    rows = [["first", "a summary of many words that goes on", "plugin"], ["second", "short", "plugin"]]
    assert [line.text for line in lay_out(["name", "summary", "from"], rows, room=34, flexible=1)] == [
        "name    summary             from",
        "first   a summary of many   plugin",
        "        words that goes on",
        "second  short               plugin",
    ]


@pytest.fixture
def terminal(monkeypatch):
    """Stdout is taken for a terminal of 80 columns."""
    monkeypatch.setattr(output, "width", lambda: 80)


@pytest.mark.parametrize(
    "line",
    [
        "info resnet18 --layers",
        "info svd_compress",
        "info inception_v3 --layers",
        "weights list torchvision/resnet18",
        "arithmetic conv2d --input 64,56,56 --out 64 --kernel 3 --padding 1 --groups 64",
        "matrix --task transfer",
        "plugins",
        "list",
        "data check digits",
    ],
)
def test_no_line_is_wider_than_the_terminal(line, zoo, terminal) -> None:
    told = zoo(*line.split())
    assert told.code == 0
    assert [each for each in told.out.splitlines() if len(each) > 80] == []
    assert "…" not in told.out or line in ("plugins", "list")


def test_a_pipe_gets_each_row_on_one_line(zoo) -> None:
    (_, row) = zoo("weights", "list", "torchvision/resnet18").out.splitlines()
    assert "accuracy 69.76%, top-5 accuracy 89.08%  not stated (torchvision itself: BSD-3-Clause)" in row
