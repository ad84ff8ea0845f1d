import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.tokenizer.conftest import moving_pattern
from tokenizer.train.crops import CropsMetadata, compress_crop, decompress_crop, read_crops


def test_compression_is_lossless_and_smaller(pattern):
    crop = pattern(17, 96, 96)
    crop[3] = 255
    crop[4] = 0
    stored = compress_crop(crop)
    assert np.array_equal(decompress_crop(stored, CropsMetadata(17, 96, {})), crop)
    assert len(stored) < crop.nbytes / 2


def test_a_packed_file_has_each_part_and_its_metadata(packed):
    train, facts = read_crops(packed, "train")
    validation, _ = read_crops(packed, "validation")
    assert train.shape == (9, 17, 48, 48, 3)
    assert validation.shape == (3, 17, 48, 48, 3)
    assert np.array_equal(train[0].numpy(), moving_pattern(17, 48, 48, speed=0.5))
    assert facts.split == {"train": ["a"], "validation": ["b"]}
    assert facts.licences == {"CC0": 12}


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"train": np.zeros(1, np.uint8)}, path)
    with pytest.raises(ValueError, match=r"other\.safetensors holds no crops"):
        read_crops(path, "train")
