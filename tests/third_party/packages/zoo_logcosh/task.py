import numpy as np
from torch.nn import functional as F

from zoo.api import Affine, EvaluationResult, Evaluator, Loss, Monitor, Task
from zoo.plugin import decide


class LogCosh(Task):
    monitor = Monitor("rmse", "min")

    @classmethod
    def statistics(cls, options, target, train):
        numbers = np.asarray(train.targets, np.float64)
        return {"mean": numbers.mean(0).tolist(), "sd": np.maximum(numbers.std(0), 1e-6).tolist()}

    def loss(self, outputs, batch):
        mean, sd = self.constants(batch.targets, "mean", "sd")
        off = self.options.sharpness * (outputs["output"].float() - (batch.targets - mean) / sd).abs()
        return Loss(((off + F.softplus(-2 * off) - np.log(2)) / self.options.sharpness).mean(1))

    def decision(self, val):
        names, units = self.target.names, self.target.units
        return Affine(names=names, units=units, scale=self.stats["sd"], offset=self.stats["mean"])

    def evaluator(self, decision):
        return Errors(decision)


class Errors(Evaluator):
    def __init__(self, decision):
        self.decision, self.errors = decision, []

    def update(self, outputs, batch):
        self.errors.append(np.abs(decide(outputs["output"], self.decision) - batch.targets.cpu().numpy()))

    def merge(self, other):
        self.errors += other.errors

    def compute(self):
        errors = np.concatenate(self.errors)  # (N, D), in units
        metrics = {"rmse": float(np.sqrt((errors**2).mean())), "mae": float(errors.mean())}
        return EvaluationResult(metrics, {"error": errors.mean(1)})
