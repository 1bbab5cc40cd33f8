"""Mixup and CutMix against the papers' formulas, and pieces of a batch against the whole."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from zoo.api import Batch
from zoo.config.run_config import TrainConfig
from zoo.contract.targets import Classes, Mask, Opaque, Values
from zoo.data.mixup import mix, mixing_fault, split


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return Batch(torch.rand(10, 3, 8, 8), torch.arange(10) % 4, torch.arange(10))


def test_without_an_alpha_nothing_is_mixed_or_drawn(batch) -> None:
    before = torch.get_rng_state()
    mixture = mix(batch, None, None)
    assert mixture.inputs is batch.inputs
    assert mixture.parts == ((1.0, batch),)
    assert torch.equal(torch.get_rng_state(), before)


def test_mixup_is_a_weighted_sum_with_a_partner(batch) -> None:
    (share, own), (rest, partner) = mix(batch, 0.8, None).parts
    mixture = mix_again(batch, 0.8, None)
    assert own is batch
    assert share + rest == pytest.approx(1)
    assert torch.equal(partner.targets, batch.targets[partner.indices])
    torch.testing.assert_close(mixture.inputs, share * batch.inputs + rest * batch.inputs[partner.indices])


def mix_again(batch, mixup, cutmix):
    """The same draws once more."""
    torch.manual_seed(0)
    torch.rand(10, 3, 8, 8)
    return mix(batch, mixup, cutmix)


def test_cutmix_pastes_a_box_and_weighs_by_what_is_left(batch) -> None:
    for _ in range(50):
        (share, _), (rest, partner) = (mixture := mix(batch, None, 1.0)).parts
        pasted = (mixture.inputs != batch.inputs).any(1)
        other = batch.inputs[partner.indices]
        assert torch.equal(mixture.inputs, torch.where(pasted[:, None], other, batch.inputs))
        moved = [row for row in range(10) if partner.indices[row] != row]
        assert all(int(pasted[row].sum()) == round(rest * 64) for row in moved)
        assert share + rest == pytest.approx(1)


def test_a_coin_chooses_where_both_are_asked_for(batch) -> None:
    torch.manual_seed(1)
    cut = [bool(((mix(batch, 1.0, 1.0).inputs == batch.inputs).any()).item()) for _ in range(60)]
    assert 10 < sum(cut) < 50


def test_lambda_is_beta(batch) -> None:
    torch.manual_seed(2)
    shares = torch.tensor([mix(batch, 0.5, None).parts[0][0] for _ in range(3000)])
    assert shares.mean() == pytest.approx(0.5, abs=0.02)
    assert shares.var() == pytest.approx(0.5 * 0.5 / (1.0**2 * 2.0), abs=0.01)  # ab / ((a + b)² (a + b + 1))


def test_the_mixed_loss_is_the_cross_entropy_of_mixed_labels(batch) -> None:
    mixture = mix(batch, 1.0, None)
    logits = torch.randn(10, 4)
    found = sum(share * F.cross_entropy(logits, each.targets) for share, each in mixture.parts)
    soft = sum(share * F.one_hot(each.targets, 4).float() for share, each in mixture.parts)
    torch.testing.assert_close(found, F.cross_entropy(logits, soft))


@pytest.mark.parametrize(
    ("size", "counts"), [(10, [10]), (50, [10]), (5, [5, 5]), (4, [4, 4, 2]), (3, [3, 3, 4]), (9, [10]), (1, [1] * 10)]
)
def test_micro_batches_hold_every_sample_once_and_none_of_one_is_left_over(batch, size, counts) -> None:
    found = split(mix(batch, 1.0, None), size)
    assert [len(piece.inputs) for piece in found] == counts
    for part in (0, 1):
        assert torch.equal(
            torch.cat([piece.parts[part][1].targets for piece in found]),
            mix_again(batch, 1.0, None).parts[part][1].targets,
        )
    assert torch.equal(torch.cat([piece.inputs for piece in found]), mix_again(batch, 1.0, None).inputs)


# --------------------------------------------------------------------------------------------------------------- masks


@pytest.fixture
def masked(batch):
    """Images whose every pixel tells its class, and that class."""
    masks = torch.randint(0, 5, (10, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return Batch(masks[:, None].float().expand(-1, 3, -1, -1).contiguous(), masks, batch.indices)


def test_cutmix_pastes_the_mask_as_the_image(masked) -> None:
    torch.manual_seed(3)
    changed = 0
    for _ in range(30):
        mixture = mix(masked, None, 1.0, masks=True)
        ((share, found),) = mixture.parts
        assert share == 1.0 and found.targets.dtype == torch.uint8
        assert torch.equal(mixture.inputs, found.targets[:, None].float().expand(-1, 3, -1, -1))
        changed += not torch.equal(found.targets, masked.targets)
    assert changed > 20


def test_mixup_of_masks_keeps_both_and_a_share(masked) -> None:
    (share, own), (rest, partner) = mix(masked, 0.8, None, masks=True).parts
    assert torch.equal(own.targets, masked.targets)
    assert torch.equal(partner.targets, masked.targets[partner.indices])
    assert share + rest == pytest.approx(1)


def test_cutmix_of_masks_draws_what_cutmix_of_labels_draws(masked) -> None:
    torch.manual_seed(0)
    plain = mix(masked, 0.5, 1.0)
    torch.manual_seed(0)
    assert torch.equal(mix(masked, 0.5, 1.0, masks=True).inputs, plain.inputs)


def test_micro_batches_of_masks_hold_every_mask_once(masked) -> None:
    torch.manual_seed(1)
    mixture = mix(masked, None, 1.0, masks=True)
    pieces = split(mixture, 4)
    assert torch.equal(torch.cat([piece.parts[0][1].targets for piece in pieces]), mixture.parts[0][1].targets)


def test_a_target_that_is_not_interpreted_cannot_be_pasted() -> None:
    depth, mask = Opaque(dtype="float32", shape=(None, None)), Mask(names=("a", "b"))
    told = "CutMix pastes a box of one image into another, which targets of the kind 'opaque' do not support"
    assert mixing_fault(TrainConfig(cutmix=1.0, mixup=0.2), depth) == told
    for target, train in (
        (depth, TrainConfig(mixup=0.2)),
        (mask, TrainConfig(cutmix=1.0, mixup=0.2)),
        (Values(names=("age",)), TrainConfig(cutmix=1.0)),
        (Classes(names=("a", "b")), TrainConfig(cutmix=1.0)),
    ):
        assert mixing_fault(train, target) is None
