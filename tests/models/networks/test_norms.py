from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from models.networks.common import NORMS
from models.networks.norms import InstanceNorm2d, SyncBatchNorm2d, instance_norm, norm_layer, uses_bias
from util.errors import UserError

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def textbook(x: Tensor) -> Tensor:
    variance, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def random(*shape: int, layout: torch.memory_format = torch.contiguous_format, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, dtype=torch.float64, generator=generator).contiguous(memory_format=layout)


@pytest.mark.parametrize("batch", (1, 2, 3))
@pytest.mark.parametrize("channels", (1, 4))
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradient_layout", LAYOUTS)
def test_instance_norm_and_its_gradient_in_every_layout(
    batch: int, channels: int, layout: torch.memory_format, gradient_layout: torch.memory_format
) -> None:
    x = random(batch, channels, 5, 6, layout=layout).requires_grad_()
    incoming = random(batch, channels, 5, 6, layout=gradient_layout, seed=1)
    (found,) = torch.autograd.grad(instance_norm(x), x, incoming)
    plain = x.detach().contiguous().requires_grad_()
    (wanted,) = torch.autograd.grad(textbook(plain), plain, incoming.contiguous())
    torch.testing.assert_close(instance_norm(x), textbook(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("batch", (1, 3))
def test_instance_norm_passes_first_and_second_order_gradcheck(batch: int, layout: torch.memory_format) -> None:
    x = random(batch, 2, 3, 4, layout=layout).requires_grad_()
    assert torch.autograd.gradcheck(instance_norm, (x,))
    assert torch.autograd.gradgradcheck(instance_norm, (x,))


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_instance_norm_keeps_layout_and_precision(dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = random(2, 4, 8, 8, layout=layout).to(dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = InstanceNorm2d(4)(x)
        z = InstanceNorm2d(4, affine=True)(x)
    for output in (y, z):
        assert output.dtype == dtype
        assert output.is_contiguous(memory_format=layout)
    torch.testing.assert_close(y.float(), textbook(x.float()), rtol=0, atol=0.02 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", (0.0, 3.0, 1e4, -1e6))
def test_near_constant_input_gives_finite_output_and_gradient(value: float, layout: torch.memory_format) -> None:
    x = (value + 1e-6 * random(2, 3, 8, 8)).float().contiguous(memory_format=layout).requires_grad_()
    y = instance_norm(x)
    y.square().sum().backward()
    assert y.isfinite().all()
    assert x.grad is not None and x.grad.isfinite().all()


def test_a_1x1_map_is_refused_with_the_reason() -> None:
    with pytest.raises(UserError, match="1x1"):
        instance_norm(torch.zeros(2, 3, 1, 1))


def test_instance_norm_has_no_state_and_an_affine_one_two_tensors() -> None:
    assert list(InstanceNorm2d(4).state_dict()) == []
    assert list(InstanceNorm2d(4, affine=True).state_dict()) == ["weight", "bias"]


def test_every_choice_builds_and_an_unknown_one_names_the_nearest() -> None:
    assert all(isinstance(norm_layer(name)(4), nn.Module) for name in NORMS)
    with pytest.raises(UserError, match="did you mean '?instance"):
        norm_layer("instanse")


def test_only_instance_norms_follow_a_biased_convolution() -> None:
    assert [name for name in NORMS if uses_bias(name)] == ["instance", "instance_affine"]


@pytest.mark.parametrize("training", (True, False))
def test_sync_batch_norm_is_batch_norm_on_one_process(training: bool) -> None:
    ours, reference = SyncBatchNorm2d(4).train(training), nn.BatchNorm2d(4).train(training)
    x = random(3, 4, 5, 5).float()
    assert torch.equal(ours(x), reference(x))
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), reference.buffers(), strict=True))


RANK = """
import sys
import torch, torch.distributed as dist
from torch import nn
from models.networks.norms import SyncBatchNorm2d, over_ranks

rank, store = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)

def run(layer, x, weight):
    layer.double()
    x = x.clone().requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad((y * weight).square().sum(), x, create_graph=True)
    (curve,) = torch.autograd.grad(slope.square().sum(), x)
    return y.detach(), slope.detach(), curve

dist.init_process_group("gloo", init_method="file://" + store, rank=rank, world_size=2)
for sizes in ((3, 1), (2, 0)):
    x = torch.randn(sum(sizes), 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 2
    weight = torch.rand(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole, layer, start = nn.BatchNorm2d(3), SyncBatchNorm2d(3), sum(sizes[:rank])
    mine = slice(start, start + sizes[rank])
    with over_ranks():
        ours = run(layer, x[mine], weight[mine])
    for found, wanted in zip(ours, run(whole, x, weight)):
        torch.testing.assert_close(found, wanted[mine], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(layer.running_mean, whole.running_mean)
    torch.testing.assert_close(layer.running_var, whole.running_var)
dist.destroy_process_group()
"""
ROOT = pathlib.Path(__file__).resolve().parents[3]


def test_two_ranks_equal_one_process_to_second_order_with_uneven_and_empty_batches(tmp_path: pathlib.Path) -> None:
    commands = [[sys.executable, "-c", RANK, str(rank), str(tmp_path / "store")] for rank in range(2)]
    ranks = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT) for command in commands]
    errors = [rank.communicate(timeout=120)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(errors)
