import torch

from tokenizer.models.interface import Compression
from tokenizer.train.augment import Augment


def numbered_crops() -> torch.Tensor:
    """Crops whose frame number, row and column can be read off the three channels."""
    t, y, x = torch.meshgrid(torch.arange(17), torch.arange(48), torch.arange(48), indexing="ij")
    return torch.stack([t, y, x], dim=-1).to(torch.uint8)[None].repeat(3, 1, 1, 1, 1)


def test_batches_are_whole_windows_of_mixed_length_turned_and_reversed():
    augment, random = Augment(Compression(8, 8), side=32, batch=2), torch.Generator().manual_seed(1)
    shapes, orders, turned = set(), set(), set()
    for _ in range(40):
        video = augment(numbered_crops(), random)
        shapes.add(tuple(video.shape))
        assert video.abs().max() <= 1
        numbers = ((video + 1) * 127.5).round().long()
        for crop in numbers:
            steps = crop.diff(dim=0)[:, 0, 0, 0].unique().tolist()
            assert len(steps) <= 1
            orders.update(steps)
            turned.add(bool(crop[0, :, 0, 1].unique().numel() == 1))
    assert shapes == {(8, 1, 32, 32, 3), (2, 9, 32, 32, 3), (2, 17, 32, 32, 3)}
    assert orders == {-2, -1, 1, 2}
    assert turned == {True, False}


def test_the_same_seed_draws_the_same():
    crops, augment = numbered_crops(), Augment(Compression(4, 8), side=16, batch=2)
    one, other = (augment(crops, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
