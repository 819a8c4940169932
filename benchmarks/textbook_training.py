"""pix2pix and CycleGAN as a plain eager training loop writes them: fp32, one call a pass, torch's own layers.

The yardstick of benchmarks/training.py; networks and losses are those of the established code.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import a2b
from models.networks.dropout import Dropout
from models.networks.norms import InstanceNorm2d

Step = Callable[[Tensor, Tensor], None]


class Training(NamedTuple):
    """A step on a batch of A and B, and what it trains."""

    step: Step
    networks: dict[str, nn.Module]
    optimizers: tuple[torch.optim.Optimizer, ...]


def plain(network: nn.Module) -> nn.Module:
    """Return the network with torch's instance norm and dropout in place of ours."""
    for module in network.modules():
        for name, layer in module.named_children():
            if isinstance(layer, InstanceNorm2d):
                setattr(module, name, nn.InstanceNorm2d(layer.num_features))
            if isinstance(layer, Dropout):
                setattr(module, name, nn.Dropout(layer.p))
    return network


def freeze(*networks: nn.Module, frozen: bool) -> None:
    """Keep gradients away from the weights of some networks, or let them through again."""
    for network in networks:
        network.requires_grad_(not frozen)


def logits(network: nn.Module, image: Tensor) -> Tensor:
    """Return the scores of a discriminator with one scale."""
    return network(image)[0].logits


class Pool:
    """Fifty generated images, handed out for new ones at even odds."""

    def __init__(self) -> None:
        self.images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        """Return some new and some old images."""
        answer = []
        for image in images.detach():
            if len(self.images) < 50:
                self.images.append(image)
            elif random.random() < 0.5:
                slot = random.randrange(50)
                image, self.images[slot] = self.images[slot], image
            answer.append(image)
        return torch.stack(answer)


def pix2pix(device: torch.device, unet: str = "unet_256") -> Training:
    """Return the training of pix2pix: U-Net, patch discriminator, cross entropy and 100 times L1."""
    G = plain(a2b.build_generator(unet, norm="batch")).to(device).train()
    D = plain(a2b.build_discriminator("basic", 6, norm="batch")).to(device).train()
    optimizer_G, optimizer_D = (torch.optim.Adam(n.parameters(), 0.0002, (0.5, 0.999)) for n in (G, D))

    def gan_loss(image: Tensor, real: bool) -> Tensor:
        scores = logits(D, image)
        return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, float(real)))

    def step(A: Tensor, B: Tensor) -> None:
        fake = G(A)
        freeze(D, frozen=False)
        optimizer_D.zero_grad()
        loss_D = 0.5 * (gan_loss(torch.cat([A, fake.detach()], 1), False) + gan_loss(torch.cat([A, B], 1), True))
        loss_D.backward()
        optimizer_D.step()
        freeze(D, frozen=True)
        optimizer_G.zero_grad()
        loss_G = gan_loss(torch.cat([A, fake], 1), True) + 100 * F.l1_loss(fake, B)
        loss_G.backward()
        optimizer_G.step()

    return Training(step, {"G": G, "D": D}, (optimizer_G, optimizer_D))


def cycle_gan(device: torch.device, resnet: str = "resnet_9blocks") -> Training:
    """Return the training of CycleGAN: least squares, cycles of weight 10, identity terms of half of that."""
    G_A, G_B = (plain(a2b.build_generator(resnet, norm="instance", no_dropout=True)).to(device) for _ in "AB")
    D_A, D_B = (plain(a2b.build_discriminator("basic", 3, norm="instance")).to(device) for _ in "AB")
    optimizer_G = torch.optim.Adam([*G_A.parameters(), *G_B.parameters()], 0.0002, (0.5, 0.999))
    optimizer_D = torch.optim.Adam([*D_A.parameters(), *D_B.parameters()], 0.0002, (0.5, 0.999))
    pool_A, pool_B = Pool(), Pool()

    def gan_loss(D: nn.Module, image: Tensor, target: float) -> Tensor:
        return (logits(D, image) - target).square().mean()

    def step(A: Tensor, B: Tensor) -> None:
        fake_B, fake_A = G_A(A), G_B(B)
        rec_A, rec_B = G_B(fake_B), G_A(fake_A)
        freeze(D_A, D_B, frozen=True)
        optimizer_G.zero_grad()
        identity = F.l1_loss(G_A(B), B) + F.l1_loss(G_B(A), A)
        cycles = F.l1_loss(rec_A, A) + F.l1_loss(rec_B, B)
        (gan_loss(D_A, fake_B, 1) + gan_loss(D_B, fake_A, 1) + 10 * cycles + 5 * identity).backward()
        optimizer_G.step()
        freeze(D_A, D_B, frozen=False)
        optimizer_D.zero_grad()
        for D, real, fake in ((D_A, B, pool_B.query(fake_B)), (D_B, A, pool_A.query(fake_A))):
            (0.5 * (gan_loss(D, real, 1) + gan_loss(D, fake, 0))).backward()
        optimizer_D.step()

    return Training(step, {"G_A": G_A, "G_B": G_B, "D_A": D_A, "D_B": D_B}, (optimizer_G, optimizer_D))
