"""The profile of a step counts every operation once, under the kind of work that it is."""

from __future__ import annotations

import pytest

from benchmarks import step_profile, textbook_training
from benchmarks.training import Work

TINY = Work(textbook_training.cycle_gan, "resnet_6blocks", ("--model", "cycle_gan"), batch=1, size=32)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("aten::convolution_backward", "convolutions backward"),
        ("aten::mkldnn_convolution", "convolutions forward"),
        ("aten::mm", "matrix products, patches and sums of them"),
        ("aten::copy_", "copies: weights to bf16, their gradients back, layouts"),
        ("aten::_fused_adam_", "Adam"),
        ("aten::native_batch_norm_backward", "norms, both ways"),
        ("aten::reflection_pad2d", "padding and joining"),
        ("aten::linalg_vector_norm", "norm of the gradients"),
        ("aten::leaky_relu_", "activations and losses"),
        ("aten::mm_of_nothing_known", "the rest"),
    ],
)
def test_an_operation_is_of_one_kind(operation: str, kind: str) -> None:
    assert step_profile.kind_of(operation) == kind


def test_shares_are_of_the_whole() -> None:
    found = step_profile.shares([("aten::mm", 1.0), ("aten::mm", 2.0), ("aten::empty", 1.0)])
    assert found["matrix products, patches and sums of them"] == 0.75 and found["the rest"] == 0.25
    assert sum(found.values()) == 1


def test_a_step_is_mostly_convolutions() -> None:
    seconds, found = step_profile.measure(TINY, 1, ["--precision", "fp32", "--ngf", "16"])
    assert 0 < seconds < 60
    assert found["convolutions backward"] > found["convolutions forward"] > 0.05
    assert sum(found.values()) == pytest.approx(1)
