"""The update step against plain loops as textbooks write them, in double precision."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.base import Batch, Images, Losses, Phase, TranslationModel
from training.settings import OptimizerOptions, StepOptions
from training.undo import Undo
from training.update import Updater
from util.device import Compute
from util.noise import mix, rand, sample_noise

STEPS, SEED, RATE = 4, 3, 0.0002
Make = Callable[..., TranslationModel]


def batches(count: int = STEPS, size: int = 2) -> list[dict[str, Any]]:
    random = torch.Generator().manual_seed(0)
    shape = (size, 3, 32, 32)
    draw = lambda: torch.rand(shape, dtype=torch.float64, generator=random) * 2 - 1  # noqa: E731
    return [{"A": draw(), "B": draw(), "A_paths": ["a"] * size} for _ in range(count)]


def updater(model: TranslationModel, pool_size: int = 0, steps: StepOptions | None = None, **more: Any) -> Updater:
    options = OptimizerOptions(lr=RATE, pool_size=pool_size, **more)
    return Updater(model, options, steps or StepOptions(), SEED, Compute(torch.device("cpu")))


def adam(*networks: nn.Module) -> torch.optim.Adam:
    return torch.optim.Adam([p for n in networks for p in n.parameters()], RATE, (0.5, 0.999))


def freeze(*networks: nn.Module, frozen: bool) -> None:
    for network in networks:
        network.requires_grad_(not frozen)


def logits(network: nn.Module, *images: Tensor) -> Tensor:
    (output,) = network(torch.cat(images, 1))
    return output.logits


def assert_same(ours: TranslationModel, theirs: TranslationModel) -> None:
    expected = theirs.state_dict()
    for key, value in ours.state_dict().items():
        difference = (value - expected[key]).abs().max().item()
        assert difference <= 1e-9, f"{key} differs by {difference}"


def assert_same_losses(ours: Losses, theirs: dict[str, Tensor]) -> None:
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        assert ours[name].item() == pytest.approx(value.item(), rel=1e-9, abs=1e-12), name


def test_pix2pix_is_the_textbook_loop(make: Make) -> None:
    ours = make("--model", "pix2pix")
    theirs = copy.deepcopy(ours)
    G, D = theirs.G, theirs.D
    optimizer_G, optimizer_D = adam(G), adam(D)
    step = updater(ours)
    for number, batch in enumerate(batches()):
        fake = G(batch["A"])
        freeze(D, frozen=False)
        real_logits = logits(D, batch["A"], batch["B"])
        fake_logits = logits(D, batch["A"], fake.detach())
        D_real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
        D_fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
        optimizer_D.zero_grad()
        ((D_real + D_fake) / 2).backward()
        optimizer_D.step()
        freeze(D, frozen=True)
        fake_logits = logits(D, batch["A"], fake)
        G_GAN = F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))
        G_L1 = 100 * (fake - batch["B"]).abs().mean()
        optimizer_G.zero_grad()
        (G_GAN + G_L1).backward()
        optimizer_G.step()
        losses = step.step(batch, number)
        assert_same_losses(losses, {"D_real": D_real, "D_fake": D_fake, "G_GAN": G_GAN, "G_L1": G_L1})
    assert_same(ours, theirs)


class TextbookPool:
    """Fill up, then at even odds hand out an old image for a new one."""

    def __init__(self, size: int, name: str) -> None:
        self.size, self.name = size, name
        self.kept: list[Tensor] = []
        self.swaps = 0

    def query(self, images: Tensor, step: int) -> Tensor:
        random = torch.Generator().manual_seed(mix(SEED, step, self.name))
        answer = []
        for image in images.detach():
            if len(self.kept) < self.size:
                self.kept.append(image)
                answer.append(image)
                continue
            chance = torch.rand((), generator=random)
            slot = int(torch.randint(self.size, (), generator=random))
            if chance >= 0.5:
                self.swaps += 1
                image, self.kept[slot] = self.kept[slot], image
            answer.append(image)
        return torch.stack(answer)


@pytest.mark.parametrize("identity", ["0.5", "0"])
def test_cycle_gan_is_the_textbook_loop(make: Make, identity: str) -> None:
    ours = make("--model", "cycle_gan", "--lambda_identity", identity, "--lambda_A", "7", "--lambda_B", "9")
    theirs = copy.deepcopy(ours)
    G_A, G_B, D_A, D_B = theirs.G_A, theirs.G_B, theirs.D_A, theirs.D_B
    optimizer_G, optimizer_D = adam(G_A, G_B), adam(D_A, D_B)
    pool_A, pool_B = TextbookPool(3, "fake_A"), TextbookPool(3, "fake_B")
    step = updater(ours, pool_size=3)

    def squares(values: Tensor, target: float) -> Tensor:
        return (values - target).pow(2).mean()

    for number, batch in enumerate(batches(6)):
        A, B = batch["A"], batch["B"]
        fake_B, fake_A = G_A(A), G_B(B)
        freeze(D_A, D_B, frozen=True)
        terms = {
            **{"G_A": squares(logits(D_A, fake_B), 1), "G_B": squares(logits(D_B, fake_A), 1)},
            "cycle_A": 7 * (G_B(fake_B) - A).abs().mean(),
            "cycle_B": 9 * (G_A(fake_A) - B).abs().mean(),
        }
        if float(identity):
            terms["idt_A"] = 9 * 0.5 * (G_A(B) - B).abs().mean()
            terms["idt_B"] = 7 * 0.5 * (G_B(A) - A).abs().mean()
        optimizer_G.zero_grad()
        sum(terms.values()).backward()
        optimizer_G.step()
        freeze(D_A, D_B, frozen=False)
        optimizer_D.zero_grad()
        for name, D, real, fake in (
            ("D_B", D_B, A, pool_A.query(fake_A, number)),
            ("D_A", D_A, B, pool_B.query(fake_B, number)),
        ):
            terms[name] = (squares(logits(D, real), 1) + squares(logits(D, fake), 0)) / 2
            terms[name].backward()
        optimizer_D.step()
        assert_same_losses(step.step(batch, number), terms)
    assert pool_A.swaps and pool_B.swaps, "the pools have been in use"
    assert_same(ours, theirs)
    for pool in (pool_A, pool_B):
        assert torch.allclose(torch.stack(step.pools[pool.name].images), torch.stack(pool.kept), atol=1e-9)


def test_wgangp_is_the_textbook_loop(make: Make) -> None:
    ours = make("--model", "pix2pix", "--gan_mode", "wgangp", "--norm", "instance", "--lambda_gp", "3")
    theirs = copy.deepcopy(ours)
    G, D = theirs.G, theirs.D
    optimizer_G, optimizer_D = adam(G), adam(D)
    step = updater(ours)
    for number, batch in enumerate(batches()):
        fake = G(batch["A"])
        freeze(D, frozen=False)
        real_pair, fake_pair = (torch.cat([batch["A"], x], 1) for x in (batch["B"], fake.detach()))
        with sample_noise([mix(mix(SEED, number), sample) for sample in range(len(fake))]):
            share = rand(fake, (1, 1, 1), "gradient penalty").double()
        between = (share * real_pair + (1 - share) * fake_pair).requires_grad_()
        scores = logits(D, between).mean((1, 2, 3))
        (slope,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
        penalty = 3 * (slope.pow(2).sum((1, 2, 3)).sqrt() - 1).pow(2).mean()
        D_real, D_fake = -logits(D, real_pair).mean(), logits(D, fake_pair).mean()
        optimizer_D.zero_grad()
        ((D_real + D_fake) / 2 + penalty / 2).backward()
        optimizer_D.step()
        freeze(D, frozen=True)
        terms = {"G_GAN": -logits(D, batch["A"], fake).mean(), "G_L1": 100 * (fake - batch["B"]).abs().mean()}
        optimizer_G.zero_grad()
        sum(terms.values()).backward()
        optimizer_G.step()
        expected = {"D_real": D_real, "D_fake": D_fake, "D_gp": penalty} | terms
        assert_same_losses(step.step(batch, number), expected)
    assert_same(ours, theirs)


def test_the_penalty_changes_the_discriminator(make: Make) -> None:
    words = ["--model", "pix2pix", "--gan_mode", "wgangp", "--norm", "instance"]
    (batch,) = batches(1)
    gradients = []
    for weight in ("0", "10"):
        model = make(*words, "--lambda_gp", weight)
        losses = updater(model).step(batch, 0)
        assert ("D_gp" in losses) == (weight == "10")
        gradients.append(torch.cat([p.grad.flatten() for p in model.D.parameters()]))  # type: ignore[union-attr]
    assert (gradients[0] - gradients[1]).norm() > 0.1 * gradients[0].norm()


def test_the_penalty_has_the_same_weight_in_both_methods(make: Make) -> None:
    """In Gulrajani et al. it is lambda_gp times as heavy as the critic's difference, which is halved here."""
    words = ["--gan_mode", "wgangp", "--norm", "instance", "--lambda_gp", "10"]
    (batch,) = batches(1)
    for model in (make("--model", "cycle_gan", *words), make("--model", "pix2pix", *words)):
        (phase,) = (p for p in model.phases() if p.name == "D")
        images = {name: image.detach() for name, image in model(batch).items()}
        torch.manual_seed(0)
        discriminator = model.get_submodule(phase.networks[0])
        real, fake = batch["B"], images["fake_B"]
        if "D" in phase.networks:
            real, fake = (torch.cat([batch["A"], x], 1) for x in (real, fake))
        assert phase.penalty is not None
        ours = phase.scale * next(iter(phase.penalty(batch, images).values()))
        torch.manual_seed(0)
        assert ours.item() == pytest.approx(0.5 * model.adversarial.penalty(discriminator, real, fake).item())


def test_without_an_adversarial_weight_there_is_no_discriminator(make: Make) -> None:
    model = make("--model", "pix2pix", "--lambda_GAN", "0")
    assert list(model.networks()) == ["G"]
    step = updater(model)
    assert list(step.optimizers) == ["G"]
    assert set(step.step(batches(1)[0], 0)) == {"G_L1"}


class TwoPlayersOneImage(TranslationModel):
    """Two phases whose gradients flow through the same image, the first of which changes a network behind it."""

    visuals = {"fake_B": "B"}

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.forwards = 0

    def forward(self, batch: Batch) -> Images:
        self.forwards += 1
        return {"fake_B": self.second(self.first(batch["A"]).tanh())}

    def loss_1(self, batch: Batch, images: Images) -> Losses:
        return {"one": (images["fake_B"] - batch["B"]).abs().mean()}

    def loss_2(self, batch: Batch, images: Images) -> Losses:
        return {"two": (images["fake_B"] + batch["B"]).square().mean()}

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("1", ("first",), self.loss_1, through_images=True),
            Phase("2", ("second",), self.loss_2, through_images=True),
        )


def test_a_second_phase_through_the_images_sees_the_new_weights() -> None:
    torch.manual_seed(0)
    ours = TwoPlayersOneImage().double()
    theirs = copy.deepcopy(ours)
    step, optimizers = updater(ours), (adam(theirs.first), adam(theirs.second))
    for number, batch in enumerate(batches()):
        for optimizer, loss in zip(optimizers, (theirs.loss_1, theirs.loss_2), strict=True):
            theirs.zero_grad()
            (value,) = loss(batch, theirs(batch)).values()
            value.backward()
            optimizer.step()
        step.step(batch, number)
    assert ours.forwards == theirs.forwards == 2 * STEPS
    assert_same(ours, theirs)


@pytest.mark.parametrize("kind", ["foreach", "plain"])
def test_the_kind_of_adam_makes_no_difference(make: Make, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models = [make("--model", "pix2pix"), make("--model", "pix2pix")]
    fused, other = (updater(model) for model in models)
    for optimizer in other.optimizers.values():
        theirs = torch.optim.Adam(optimizer.parameters, RATE, (0.5, 0.999), foreach=kind == "foreach")
        monkeypatch.setattr(optimizer, "step", lambda *_, instead=theirs.step, **__: instead())
    for number, batch in enumerate(batches()):
        assert_same_losses(fused.step(batch, number), other.step(batch, number))
    assert_same(*models)


def test_no_gradient_reaches_the_networks_of_another_phase(make: Make) -> None:
    model = make("--model", "pix2pix")
    step = updater(model)
    (batch,) = batches(1)
    step.step(batch, 0)
    before = [p.grad.clone() for p in model.D.parameters()]  # type: ignore[union-attr]
    work = step.runner.open(batch, 1, parts=1, shared=True)
    step.runner.run(step.phases[1], work, Undo(model.buffers()), lambda total: total)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.D.parameters(), before, strict=True))


def test_a_step_depends_on_the_batch_and_its_number_alone(make: Make) -> None:
    """Dropout, penalties and pools draw from (seed, step), whatever the global random state."""
    words = ["--model", "pix2pix", "--no_dropout", "false", "--pool_size", "2"]
    models = [make(*words), make(*words)]
    steps = [updater(model) for model in models]
    for number, batch in enumerate(batches(2)):
        results = []
        for noise, step in enumerate(steps):
            torch.manual_seed(noise)
            results.append({k: v.item() for k, v in step.step(batch, number).items()})
        assert results[0] == results[1]
    third = updater(make(*words))
    assert third.step(batches(1)[0], 1)["G_L1"] != updater(make(*words)).step(batches(1)[0], 0)["G_L1"]


def test_the_rate_is_set_on_every_optimizer(make: Make) -> None:
    step = updater(make("--model", "cycle_gan"))
    assert step.set_rate(0.25) == RATE / 4
    assert {optimizer.rate for optimizer in step.optimizers.values()} == {RATE / 4}


def test_a_restored_updater_goes_on_as_the_first(make: Make) -> None:
    data = batches(5)
    first = updater(make("--model", "cycle_gan"), pool_size=2)
    for number in (0, 1, 2):
        first.step(data[number], number)
    saved = copy.deepcopy(first.state_dict())
    second = updater(make("--model", "cycle_gan", "--seed", "9"), pool_size=2)
    second.load_state_dict(saved)
    for number in (3, 4):
        assert_same_losses(first.step(data[number], number), second.step(data[number], number))
    for key, value in first.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[key])


def test_generators_learn_in_every_other_step_when_told_so(make: Make) -> None:
    step = updater(make("--model", "cycle_gan"), d_steps=2)
    names, moved = [], []
    for number, batch in enumerate(batches(4)):
        before = copy.deepcopy(step.model.state_dict())
        names.append(set(step.step(batch, number)))
        after = step.model.state_dict()
        moved.append({key.partition(".")[0] for key in after if not torch.equal(after[key], before[key])})
    assert names[0] == {"D_A", "D_B"} and "cycle_A" in names[1]
    assert moved == [{"D_A", "D_B"}, {"G_A", "G_B", "D_A", "D_B"}] * 2


def test_a_lone_generator_learns_in_every_step(make: Make) -> None:
    step = updater(make("--model", "pix2pix", "--lambda_GAN", "0"), d_steps=5)
    assert set(step.step(batches(1)[0], 0)) == {"G_L1"}


def test_discriminators_can_have_their_own_rate(make: Make) -> None:
    step = updater(make("--model", "pix2pix"), lr_D=RATE / 10)
    assert step.set_rate(0.5) == RATE / 2
    assert [step.optimizers[n].rate for n in ("G", "D")] == [RATE / 2, RATE / 20]


def test_the_average_of_the_generators_is_kept_and_restored(make: Make) -> None:
    step = updater(make("--model", "cycle_gan"), ema_decay=0.5)
    for number, batch in enumerate(batches(3)):
        step.step(batch, number)
    assert step.has_average and not updater(make("--model", "cycle_gan")).has_average
    live = copy.deepcopy(step.model.state_dict())
    with step.averaged():
        inside = copy.deepcopy(step.model.state_dict())
    differ = {key.partition(".")[0] for key in live if not torch.equal(live[key], inside[key])}
    assert differ == {"G_A", "G_B"}
    other = updater(make("--model", "cycle_gan"), ema_decay=0.5)
    other.load_state_dict(step.state_dict())
    with other.averaged():
        assert all(torch.equal(value, inside[key]) for key, value in other.model.state_dict().items())


def test_frozen_weights_stay(make: Make) -> None:
    model = make("--model", "pix2pix")
    frozen = model.get_submodule("G.model.1")
    frozen.requires_grad_(False)
    before = copy.deepcopy(frozen.state_dict())
    step = updater(model)
    step.step(batches(1)[0], 0)
    assert all(torch.equal(value, before[key]) for key, value in frozen.state_dict().items())
    assert not any(p.requires_grad for p in frozen.parameters())
