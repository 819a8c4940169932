"""The history of generated images."""

from __future__ import annotations

import torch

from training.pool import ImagePool


def images(*values: float, size: int = 2) -> torch.Tensor:
    return torch.stack([torch.full((1, size, size), value) for value in values])


def ask(pool: ImagePool, batch: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    return torch.stack(pool.query(batch, random))


def test_a_pool_of_zero_passes_images_on() -> None:
    batch = images(1.0, 2.0)
    pool = ImagePool(0)
    assert torch.equal(ask(pool, batch, torch.Generator()), batch)
    assert pool.images == []


def test_a_filling_pool_returns_what_it_gets() -> None:
    pool, random = ImagePool(3), torch.Generator()
    assert torch.equal(ask(pool, images(1, 2), random), images(1, 2))
    assert torch.equal(ask(pool, images(3), random), images(3))
    assert len(pool.images) == 3


def test_a_full_pool_answers_with_older_images_half_of_the_time() -> None:
    pool, random = ImagePool(10), torch.Generator().manual_seed(0)
    ask(pool, images(*[-1.0] * 10), random)
    older = 0
    for number in range(400):
        answer = ask(pool, images(float(number)), random)
        assert answer.shape == (1, 1, 2, 2)
        older += answer[0, 0, 0, 0].item() != number
        assert len(pool.images) == 10
    assert 160 < older < 240


def test_no_image_is_handed_out_twice_or_lost() -> None:
    pool, random = ImagePool(5), torch.Generator().manual_seed(0)
    answers = [ask(pool, images(float(n)), random)[0, 0, 0, 0].item() for n in range(5, 105)]
    kept = [image[0, 0, 0].item() for image in pool.images]
    assert sorted(answers[5:] + kept) == [float(n) for n in range(5, 105)]


def test_the_pool_keeps_copies_without_a_graph() -> None:
    pool, batch = ImagePool(2), images(1.0).requires_grad_()
    answer = ask(pool, batch * 1, torch.Generator())
    assert not answer.requires_grad
    with torch.no_grad():
        batch.zero_()
    assert pool.images[0].mean() == 1


def test_images_of_another_size_are_not_mixed() -> None:
    pool, random = ImagePool(1), torch.Generator().manual_seed(0)
    ask(pool, images(1.0), random)
    for number in range(20):
        batch = images(float(number), size=4)
        assert torch.equal(ask(pool, batch, random), batch)


def test_a_restored_pool_goes_on_alike() -> None:
    first, second = ImagePool(3), ImagePool(3)
    first.query(images(1, 2, 3), torch.Generator())
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    for number in range(10):
        draws = [ask(pool, images(float(number)), torch.Generator().manual_seed(number)) for pool in (first, second)]
        assert torch.equal(*draws)
