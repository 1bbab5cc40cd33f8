"""The core's commands: where each is, and its help.

Known here, so that ``zoo --help`` imports none of them and no plugin takes their names.
"""

from __future__ import annotations

COMMANDS = {
    "list": ("zoo.cli.list_items:list_items", "List installed components and the plugins that provide them."),
    "info": (
        "zoo.cli.info:info",
        (
            "Show the options and source of a component; for a recipe also its expected result, for an architecture "
            "its layers and cost."
        ),
    ),
    "matrix": (
        "zoo.cli.matrix:matrix",
        "Show which architectures, datasets and tasks can be combined, and why others cannot.",
    ),
    "lr-range": ("zoo.cli.lr_range:lr_range", "Test a range of learning rates, and suggest one."),
    "gradients": ("zoo.cli.gradients:gradients", "Measure the gradient norm of each layer before training."),
    "arithmetic": (
        "zoo.cli.arithmetic:arithmetic",
        "Compute the output shape, parameters and cost of one layer, and show the formulas with their numbers.",
    ),
    "show": ("zoo.cli.show:show", "Plot images of a dataset: plain, permuted or augmented."),
    "run": ("zoo.cli.run:run", "Train and evaluate a recipe, or an architecture with a dataset."),
    "tune": (
        "zoo.cli.tune:tune",
        "Search for the hyperparameters with the best validation metric; bad trials are stopped early.",
    ),
    "evaluate": ("zoo.cli.evaluate:evaluate", "Evaluate a trained or exported model on a split."),
    "predict": ("zoo.cli.predict:predict", "Run a trained or exported model on images, and print its predictions."),
    "index": (
        "zoo.cli.index:index",
        "Compute feature vectors of the images in a folder, and write them to an index.",
    ),
    "search": ("zoo.cli.search:search", "For each query image, find the most similar images in an index."),
    "export": (
        "zoo.cli.export:export",
        "Export a trained model, and verify that the exported file gives the same outputs as PyTorch.",
    ),
    "bench": (
        "zoo.cli.bench:bench",
        "Compare the speed of a model in PyTorch, with torch.compile, and as an exported file.",
    ),
    "runs": ("zoo.cli.runs:runs", "List the runs in the runs folder with their results, newest first."),
    "compare": (
        "zoo.cli.compare:compare",
        "Compare the results and settings of runs, and plot their training curves in one image.",
    ),
    "report": ("zoo.cli.report:report", "Write a run's report as one self-contained HTML page."),
    "verify": (
        "zoo.cli.verify:verify",
        "Check the files of a run or bundle, and compare an exported model with PyTorch.",
    ),
    "inspect": (
        "zoo.cli.inspect:inspect",
        "Describe a file or folder of unknown origin, without executing its code or writing files.",
    ),
    "plugins": (
        "zoo.cli.plugins:plugins",
        "List installed plugins, or check a plugin against the plugin API.",
    ),
    "weights": ("zoo.cli.weights:weights", "List, download and convert pretrained weights."),
    "data": ("zoo.cli.data:data", "Download, locate and check the files of datasets."),
    "cache": ("zoo.cli.cache:cache", "List cached images and unpacked archives; --clear removes them."),
    "doctor": (
        "zoo.cli.doctor:doctor",
        "Check versions, devices, folders and plugins, and suggest a fix for each problem.",
    ),
    "schema": (
        "zoo.cli.schema:schema",
        "Print the JSON Schema of the configuration of a run, for completion in editors.",
    ),
    "completion": ("zoo.cli.completion:completion", "Print the completion script for bash, zsh or fish."),
}
"""A function is a command; a ``typer.Typer``, a group of them."""
EXPORT_OPTIONS = (
    "format", "weights", "weights-key", "data", "out", "batch", "provider", "set", "sign", "json", "help", "debug"
)  # fmt: skip
"""The options of `zoo export` whose names no flag of a format can have."""


def format_flag(name: str) -> str | None:
    """Return the flag of `zoo export` for a format, such as ``--my-format`` for ``my_format``; None if it has none."""
    return None if name in EXPORT_OPTIONS or "/" in name else f"--{name.replace('_', '-')}"


SECTIONS = {
    "Train and deploy": ("run", "tune", "evaluate", "predict", "export"),
    "Image search": ("index", "search"),
    "Components": ("list", "info", "matrix", "plugins"),
    "Runs": ("runs", "report", "compare", "verify"),
    "Data and weights": ("show", "data", "weights", "cache"),
    "Analysis": ("bench", "lr-range", "gradients", "arithmetic"),
    "Tools": ("inspect", "doctor", "schema", "completion"),
}
"""The headings of `zoo --help`, with the commands under each."""
EXAMPLES = {
    "list": "zoo list architectures 'resnet*'",
    "info": "zoo info resnet18 --layers",
    "matrix": "zoo matrix --arch resnet18",
    "lr-range": "zoo lr-range cnn_digits --plot lr.png",
    "gradients": "zoo gradients cnn_digits --versus train.batch_size=8",
    "arithmetic": "zoo arithmetic conv2d --input 3,224,224 --kernel 7 --stride 2",
    "show": 'zoo show digits --augment "rotate: 15"',
    "run": "zoo run resnet18_transfer --data folder:photos --epochs 3",
    "tune": "zoo tune cnn_digits --set dataset.val_fraction=0.2 --set 'train.lr=log(1e-4,1e-1)'",
    "evaluate": "zoo evaluate cnn_digits --split test",
    "predict": "zoo predict exports/cnn_digits photo.png",
    "index": "zoo index photos --model resnet18 --weights imagenet1k_v1",
    "search": "zoo search photo.jpg --top 5",
    "export": "zoo export cnn_digits --out build/digits",
    "bench": "zoo bench cnn_digits --batch 1,32",
    "runs": "zoo runs --json",
    "compare": "zoo compare cnn_digits lenet",
    "report": "zoo report cnn_digits",
    "verify": "zoo verify cnn_digits",
    "cache": "zoo cache",
    "inspect": "zoo inspect download.pth",
    "schema": "zoo schema",
    "doctor": "zoo doctor",
    "completion": "zoo completion bash",
}
"""A command line for each command that is not a group; it ends the command's help."""
