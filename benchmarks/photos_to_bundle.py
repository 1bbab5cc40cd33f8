"""600 photographs to a verified bundle with two commands, `zoo run folder:PATH` and `zoo export --onnx`.

    ZOO_DATA=… python benchmarks/photos_to_bundle.py [--weights squeezenet1_1.safetensors] [--rounds 3]

Each round starts both commands twice, with an empty cache and with that of the first, and then the script that people
write for it: torchvision's SqueezeNet 1.1 through a DataLoader with two workers, scikit-learn's logistic regression
with the same cross-validation, `torch.onnx.export`, and a comparison of onnxruntime's outputs with PyTorch's for the
test images. Seconds are those of whole processes. The photographs are cats and dogs of ZOO_DATA, 300 of each.

With --tiny, one round with random images and weights, which needs neither ZOO_DATA nor --weights.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from _photos import photographs, random_weights
from _process import timed
from _record import compared, parser_of, result_file, write_result

MANY, FEW = 600, 40
PLAIN = """
import json, sys
folder, weights, out = sys.argv[1:]
import numpy as np, onnxruntime, torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.models import squeezenet1_1
mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
steps = [transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(mean, std)]
network = squeezenet1_1()
network.load_state_dict(load_file(weights))
backbone = nn.Sequential(network.features, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
images = ImageFolder(folder, transforms.Compose(steps))
with torch.no_grad():
    found = [(backbone(inputs), labels) for inputs, labels in DataLoader(images, 64, num_workers=2)]
x, y = (torch.cat(each).numpy() for each in zip(*found))
train, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=0)
scaler = StandardScaler().fit(x[train])
probe = LogisticRegressionCV(Cs=[1e-4, 1e-3, 1e-2, 0.1, 1.0], cv=5, max_iter=2000)
probe.fit(scaler.transform(x[train]), y[train])
head = nn.Linear(x.shape[1], 1)
with torch.no_grad():
    head.weight.copy_(torch.from_numpy(probe.coef_ / scaler.scale_))
    head.bias.copy_(torch.from_numpy(probe.intercept_ - probe.coef_ @ (scaler.mean_ / scaler.scale_)))
model = nn.Sequential(backbone, head, nn.Sigmoid()).eval()
inputs = torch.stack([images[index][0] for index in test])
torch.onnx.export(model, (inputs[:2],), out, input_names=["input"], dynamic_shapes=({0: torch.export.Dim("batch")},))
session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
with torch.no_grad():
    expected = model(inputs).numpy()
assert np.abs(session.run(None, {"input": inputs.numpy()})[0] - expected).max() < 1e-4
print(json.dumps({"accuracy": float(((expected[:, 0] > 0.5) == y[test]).mean())}))
"""


def two_commands(photos: Path, weights: Path, place: Path, cache: Path, name: str) -> dict[str, float]:
    """Seconds of the run, of the export, and of both, by the clock and by the processor."""
    zoo, variables = [sys.executable, "-P", "-m", "zoo"], {"ZOO_CACHE": str(cache)}
    run = [*zoo, "run", f"folder:{photos}", "--weights", str(weights), "--device", "cpu", "--name", name]
    steps = {"run": run, "export": [*zoo, "export", name, "--onnx"]}
    seconds = {step: timed(command, place, variables) for step, command in steps.items()}
    both = {by: sum(each[by] for each in seconds.values()) for by in ("clock", "processor")}
    return {**both, **{f"{step}_{by}": each[by] for step, each in seconds.items() for by in each}}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--weights", type=Path, help="ImageNet weights of torchvision's squeezenet1_1")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.weights is None and not asked.tiny:
        parser.error("--weights FILE is needed")
    count = FEW if asked.tiny else MANY
    found: dict[str, list[dict[str, float]]] = {"zoo": [], "zoo, features cached": [], "plain script": []}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        photos = photographs(place / "photos", count, tiny=asked.tiny)
        weights = asked.weights.absolute() if asked.weights else random_weights(place)
        for turn in range(1 if asked.tiny else asked.rounds):
            cache = place / f"cache-{turn}"
            for side in ("zoo", "zoo, features cached"):
                found[side].append(two_commands(photos, weights, place, cache, f"{len(found[side])}-{len(side)}"))
            plain = [sys.executable, "-P", "-c", PLAIN, str(photos), str(weights), str(place / "plain.onnx")]
            found["plain script"].append(timed(plain, place))
            print({side: round(each[-1]["clock"], 1) for side, each in found.items()}, flush=True)
        record = json.loads(next((place / "exports").rglob("bundle.json")).read_text())
    comparisons = {
        by: compared({side: [one[by] for one in each] for side, each in found.items()}) for by in ("clock", "processor")
    }
    figures = {"comparisons": comparisons, "photographs": count, "rounds": found, "bundle": sorted(record)}
    write_result(result_file(asked, "photos_to_bundle"), figures)


if __name__ == "__main__":
    main()
