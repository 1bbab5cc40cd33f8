"""Tables of labels as people and spreadsheets write them, and what is wrong with those that cannot be read."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from zoo_datasets.folder_layout import Sample
from zoo_datasets.folder_table import read_table

from zoo.errors import DataError

NFC, NFD = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
PLAIN = "file,label,split\nx/0.png,cat,train\nx/1.png,dog,train\nx/2.png,cat,val\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images" / "x").mkdir(parents=True)
    for index in range(4):
        (tmp_path / "images" / "x" / f"{index}.png").write_bytes(b"")
    return tmp_path / "images"


def read(root: Path, content: str | bytes) -> dict[str, list[Sample]]:
    table = root.parent / "labels.csv"
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(table, root)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        "sep=;\n" + PLAIN.replace(",", ";"),
        "sep=|\r\n" + PLAIN.replace(",", "|").replace("\n", "\r\n"),
        PLAIN.replace("file,label,split", "File, LABEL ,Split"),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("\n", ",,\n", 1),
        PLAIN + ",,\n\n  ,\n",
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("file,label,split", "number,file,label,note,split")
        .replace("x/", "7,x/")
        .replace(",train", ",,train")
        .replace(",val", ",,val"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("cat", '"cat"'),
    ],
)
def test_a_table_is_read_as_if_written_with_commas(root: Path, content: str | bytes) -> None:
    assert read(root, content) == {
        "train": [Sample(root / "x/0.png", "cat"), Sample(root / "x/1.png", "dog")],
        "val": [Sample(root / "x/2.png", "cat")],
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file,label,label\nx/0.png,cat,dog\n", r"two columns 'label': columns 2 and 3 \('label' and 'label'\)"),
        ("File,label,other, FILE\n", r"two columns 'file': columns 1 and 4 \('File' and ' FILE'\)"),
        ("file,label\nx/0.png,New York, NY\n", "line 2: 3 cells in a table of 2 columns"),
        ('file,label\nx/0.png,"cat\n', "not a row of CSV"),
        ("", "no column 'file'"),
        ("sep=;\n", "no column 'file'"),
        ("file,label\n", "no rows to train on"),
        ("sep=;\nfile;label\nx/9.png;cat\n", r"line 3: there is no file 'x/9\.png'"),
        ("file,label\nx/0.png,crème\n".encode("latin-1"), "line 2: the table of labels is not in UTF-8.*CSV UTF-8"),
        (PLAIN.encode("utf-16-le"), "not UTF-8 text"),
        (b"\x80\x81\x82", "line 1: the table of labels is not in UTF-8"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(root: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        read(root, content)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value) and "; fix: " in str(caught.value)


def test_labels_are_compared_in_one_unicode_form(root: Path) -> None:
    found = read(root, f"file,label\nx/0.png,{NFC}\nx/1.png,{NFD}\n")
    assert [sample.label for sample in found["train"]] == [NFC, NFC]


@pytest.mark.parametrize(("on_disk", "written"), [(NFD, NFC), (NFC, NFD)])
def test_a_file_is_found_by_its_name_in_another_unicode_form(root: Path, on_disk: str, written: str) -> None:
    (root / on_disk).mkdir()
    (root / on_disk / f"{on_disk}.png").write_bytes(b"")
    found = read(root, f"file,label\n{written}/{written}.png,cat\n")
    assert found == {"train": [Sample(root / on_disk / f"{on_disk}.png", "cat")]}


def test_a_file_name_that_fits_two_files_is_refused(root: Path) -> None:
    both = [unicodedata.normalize(form, "ḗ") for form in ("NFC", "NFD")]
    third = "ē\u0301"  # composed in part: neither form
    for name in both:
        (root / f"{name}.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"several files in different Unicode forms: .*U\+0065 U\+0304 U\+0301.* and .*U\+1E17"
    ):
        read(root, f"file,label\n{third}.png,cat\n")
