"""``zoo svd decode|export|ellipse``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.errors import UsageError
from zoo.plugin import echo

app = typer.Typer(
    help="Decode SVD-compressed images, export a decoder for them, and plot a 2×2 matrix as a linear map."
)


@app.command(epilog="Example: zoo svd decode runs/svd_image/first/compressed/china.safetensors --rank 50")
def decode(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Compressed image of a run: RUN/compressed/NAME.safetensors.")
    ],
    rank: Annotated[
        int | None, typer.Option("--rank", metavar="K", help="Number of singular values to keep; default: all.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="PNG",
            help="PNG file to write; default: FILE's name with the suffix .png, in the current folder.",
        ),
    ] = None,
) -> None:
    """Rebuild a compressed image from its singular values and vectors."""
    from PIL import Image

    from zoo.plugin import write_image
    from zoo_svd.compressed import read
    from zoo_svd.images import as_image

    small = read(file)
    chosen = _rank(rank, small.rank)
    image, target = as_image(small.at(chosen), small.channels), out or Path(f"{file.stem}.png")
    write_image(target, Image.fromarray(image.squeeze(-1) if small.channels == 1 else image))
    echo(f"{target}: {image.shape[0]}×{image.shape[1]}, rank {chosen} of {small.rank}")


@app.command(epilog="Example: zoo svd export runs/svd_image/first/compressed/china.safetensors --rank 50")
def export(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Compressed image of a run: RUN/compressed/NAME.safetensors.")
    ],
    rank: Annotated[
        int | None, typer.Option("--rank", metavar="K", help="Number of singular values to keep; default: all.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="File to write; default: FILE's name with the suffix of the format, in the current folder.",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str,
        typer.Option(
            "--format",
            metavar="F",
            show_default=False,
            help="Export format: a name listed by `zoo list exporters`; default: onnx.",
        ),
    ] = "onnx",
) -> None:
    """Export a network that computes the image from the weights of its singular components, and verify it against
    PyTorch.
    """
    from zoo.plugin import registry
    from zoo_svd.compressed import read
    from zoo_svd.decoder import export as write

    small, suffix = read(file), registry().exporter(format).spec.suffix
    chosen = small.first(_rank(rank, small.rank))
    target = out or Path(f"{file.stem}{suffix}")
    facts = write(chosen, target, format)
    echo(
        f"{target}: weights (N, {chosen.rank}) → images; verified against PyTorch, largest difference "
        f"{facts['max_abs_error']:.2g} of 255"
    )


@app.command(epilog="Example: zoo svd ellipse 5,3,3,5")
def ellipse(
    matrix: Annotated[str, typer.Argument(metavar="A,B,C,D", help="2×2 matrix, row by row, such as 5,3,3,5.")],
    out: Annotated[
        Path, typer.Option("--out", metavar="PNG", show_default=False, help="PNG file to write; default: ellipse.png.")
    ] = Path("ellipse.png"),
) -> None:
    """Plot a 2×2 matrix as a linear map: the unit circle and its image, with the matrix's eigenvectors and singular
    vectors.
    """
    import numpy as np

    from zoo.plugin import storage_errors
    from zoo_svd.drawing import ellipse as draw
    from zoo_svd.linear_map import described, eigen, singular_values

    try:
        values = np.array([float(each) for each in matrix.split(",")])
    except ValueError:
        values = np.array([])
    if len(values) != 4 or not np.isfinite(values).all():
        raise UsageError(
            f"expected the four numbers of a 2×2 matrix, not '{matrix}'", fix="for example: zoo svd ellipse 5,3,3,5"
        )
    square = values.reshape(2, 2)
    with storage_errors(out):
        draw(out, square)
    echo(
        f"{out}: singular values {' and '.join(f'{each:.4g}' for each in singular_values(square))}; "
        f"{described(eigen(square))}"
    )


def _rank(asked: int | None, there: int) -> int:
    if asked is not None and not 1 <= asked <= there:
        raise UsageError(f"--rank: the file has 1 to {there}, not {asked}", fix=f"for example --rank {there}")
    return there if asked is None else asked
