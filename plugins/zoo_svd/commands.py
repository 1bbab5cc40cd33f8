"""``zoo svd decode|export|ellipse``"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.errors import UsageError
from zoo.plugin import echo

app = typer.Typer(help="SVD tools: decode compressed images, export a decoder, plot a 2×2 matrix as a linear map.")


@app.command()
def decode(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A compressed image: RUN/compressed/NAME.safetensors.")],
    rank: Annotated[
        int | None, typer.Option("--rank", metavar="K", help="Number of singular values to keep; the default is all.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="PNG", help="The image; by default FILE's name with .png, here.")
    ] = None,
) -> None:
    """Rebuild an image from its factors."""
    from PIL import Image

    from zoo.plugin import write_image
    from zoo_svd.compressed import read
    from zoo_svd.images import as_image

    small = read(file)
    chosen = _rank(rank, small.rank)
    image, target = as_image(small.at(chosen), small.channels), out or Path(f"{file.stem}.png")
    write_image(target, Image.fromarray(image.squeeze(-1) if small.channels == 1 else image))
    echo(f"{target}: {image.shape[0]}×{image.shape[1]}, rank {chosen} of {small.rank}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A compressed image: RUN/compressed/NAME.safetensors.")],
    rank: Annotated[
        int | None, typer.Option("--rank", metavar="K", help="Number of singular values to keep; the default is all.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="By default FILE's name with the format's suffix, here."),
    ] = None,
    format: Annotated[str, typer.Option("--format", metavar="F", help="An exporter.")] = "onnx",  # noqa: A002
) -> None:
    """Export a decoder network, which maps component weights to the image at any rank, verified against PyTorch."""
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


@app.command()
def ellipse(
    matrix: Annotated[str, typer.Argument(metavar="A,B,C,D", help="A 2×2 matrix by rows, such as 5,3,3,5.")],
    out: Annotated[Path, typer.Option("--out", metavar="PNG", help="The image.")] = Path("ellipse.png"),
) -> None:
    """Draw the unit circle, its image under the matrix, and its eigenvectors and singular vectors."""
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
