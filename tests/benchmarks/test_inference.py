"""The benchmark of inference: its rows say which engine, how fast, how near, and what it costs at first."""

from __future__ import annotations

import math

import torch
from torch import nn

from benchmarks import inference


def test_rows_compare_with_the_textbook_by_medians() -> None:
    times = {inference.TEXTBOOK: [2.0, 4.0, 2.0], "torch, bf16": [0.5, 0.5, 2.0]}
    psnr, ready = {inference.TEXTBOOK: math.inf, "torch, bf16": 55.04}, dict.fromkeys(times, 3.0)
    plain, fast = inference.rows("net", {"times": times, "psnr": psnr, "ready": ready, "flops": 1e9}, 4e9)
    assert plain == ["net", inference.TEXTBOOK, "2000", "2000 to 4000", "1.0x", "equal", "1.0", "12%"]
    assert fast == ["net", "torch, bf16", "500", "500 to 2000", "4.0x", "55.0", "2.5", "50%"]


def test_the_textbook_computes_the_same() -> None:
    network = inference.a2b.build_generator("resnet_6blocks", ngf=2, norm="instance", no_dropout=True).eval()
    (image,) = inference.images_of(None, 1)
    image = image[..., :32, :32].contiguous()
    with torch.no_grad():
        assert torch.allclose(inference.textbook(network)(image), network(image), atol=1e-4)
    assert any(isinstance(layer, nn.InstanceNorm2d) for layer in inference.plain(network).modules())
