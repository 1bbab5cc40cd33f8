"""Names and metadata from outside never steer the terminal, nor a log."""

from __future__ import annotations

import ast
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from zoo.cli.output import note, say, say_facts, say_json, say_table
from zoo.reporting.console import Console
from zoo.support.formatting import printable
from zoo.support.progress import announce, bar

TOP = Path(__file__).parents[2]
HOSTILE = "a\x1b[31mb\x07c\rd\ne\x9bf\u202eg\ud800h\udce9[red]:smile:\x7f"
SHOWN = r"a\x1b[31mb\x07c\rd\ne\x9bf\u202eg\ud800h\xe9[red]:smile:\x7f"
PRINTERS = {
    "zoo/cli/output.py",
    "zoo/cli/failures.py",
    "zoo/support/progress.py",
    "zoo/runtime/command_line.py",
    "zoo/runtime/opening.py",
    "zoo/runtime/versions.py",
    "zoo/testing/light_import.py",
}
"""The files that may print: all others do so through them.

(zoo.runtime stands alone; testing's is the text of another program.)
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Größe ☕ 猫 नमस्ते", "Größe ☕ 猫 नमस्ते"),
        ("non\u00a0breaking", "non\u00a0breaking"),
        ("می\u200cخواهم 👩\u200d🔬", "می\u200cخواهم 👩\u200d🔬"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("caf\udce9.jpg", r"caf\xe9.jpg"),
        ("\u2028\u2029\u2066\ufeff\u200b", r"\u2028\u2029\u2066\ufeff\u200b"),
        ("\U000e0041", r"\U000e0041"),
        ("one\ttwo\r\n", r"one\ttwo\r\n"),
        (HOSTILE, SHOWN),
    ],
)
def test_characters_that_steer_or_hide_are_shown_as_escapes(text, shown) -> None:
    assert printable(text) == shown
    assert printable(printable(text)) == shown


def test_lines_are_kept_where_a_text_has_several() -> None:
    assert printable("one\n  two\x1b", lines=True) == "one\n  two\\x1b"


def test_results_are_printed_with_escapes(capsys) -> None:
    say(HOSTILE)
    say_table(["name"], [[HOSTILE]])
    say_facts({"name": HOSTILE})
    note(HOSTILE.replace("\n", ""))
    announce(HOSTILE)
    out, err = capsys.readouterr()
    assert out.splitlines() == [SHOWN, "name", SHOWN, f"name  {SHOWN}"]
    assert err.splitlines() == [SHOWN.replace(r"\n", ""), SHOWN]


def test_json_is_escaped_in_jsons_own_form(capsys) -> None:
    say_json({"name": HOSTILE, "more": "猫\U000e0041"})
    text = capsys.readouterr().out
    assert all(printable(char) == char for char in text.replace("\n", "")) and "猫" in text
    assert json.loads(text) == {"name": HOSTILE, "more": "猫\U000e0041"}


def test_a_runs_console_and_its_log_escape(tmp_path) -> None:
    stream = io.StringIO()
    console = Console(stream=stream)
    console.log = tmp_path / "log.txt"
    console.print(HOSTILE)
    console.warn(HOSTILE)
    assert stream.getvalue() == f"{SHOWN}\nwarning: {SHOWN}\n"
    first, second = console.log.read_text(encoding="utf-8").splitlines()
    assert first.endswith(f" {SHOWN}") and second.endswith(f" warning: {SHOWN}")


def test_a_bars_description_is_no_markup() -> None:
    with bar() as progress:
        progress.add_task("[red]:smile:", total=1)
        assert [column.render(progress.tasks[0]).plain for column in progress.columns] == ["[red]:smile:"]


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    """Every call below ``node``, but for those of a parameter called print, which a solver is given by zoo."""
    for child in ast.iter_child_nodes(node):
        own = isinstance(child, ast.FunctionDef) and any(
            each.arg == "print" for each in (*child.args.posonlyargs, *child.args.args, *child.args.kwonlyargs)
        )
        found = _calls(child)
        yield from (call for call in found if ast.unparse(call.func) != "print") if own else found
        if isinstance(child, ast.Call):
            yield child


def _prints(file: Path) -> list[int]:
    """Lines that write to a terminal by print, typer's echo or a standard stream."""
    found = []
    for node in _calls(ast.parse(file.read_text(encoding="utf-8"))):
        called = ast.unparse(node.func)
        if called in (
            "print",
            "typer.secho",
            "sys.stdout.write",
            "sys.stderr.write",
            "traceback.print_exc",
            "traceback.print_exception",
        ):
            found.append(node.lineno)
        if (
            called == "typer.echo"
            and "get_help" not in ast.unparse(node)
            and "metadata.version" not in ast.unparse(node)
        ):
            found.append(node.lineno)
    return found


def test_the_scan_sees_a_print_and_leaves_a_parameter_of_that_name_alone(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def solve(print):\n    print(1)\n\n\ndef other():\n    print(2)\n\n\nsolve(print(3))\n")
    assert _prints(file) == [6, 9]


def test_everything_is_printed_through_the_functions_that_escape() -> None:
    files = [file for folder in ("zoo", "plugins") for file in (TOP / folder).rglob("*.py")]
    by_hand = {file.relative_to(TOP).as_posix(): lines for file in files if (lines := _prints(file))}
    assert {name: lines for name, lines in by_hand.items() if name not in PRINTERS} == {}
