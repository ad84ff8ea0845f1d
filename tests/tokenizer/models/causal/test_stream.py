import numpy as np
import pytest

from tests.tokenizer.models.causal.conftest import noise, untrained
from tokenizer.models.interface import StreamingTokenizer, Tokens


def pieces(tokens: Tokens, ends: list[int]) -> list[Tokens]:
    starts = [0, *ends[:-1]]
    return [
        Tokens(tokens.codes[a:b], tokens.latents[:, a:b]) for a, b in zip(starts, ends, strict=True)
    ]


def test_encoding_in_chunks_equals_encoding_whole(rate):
    tokenizer = untrained(rate)
    assert isinstance(tokenizer, StreamingTokenizer)
    video = noise(49)
    [whole] = tokenizer.encode([video])
    encoder = tokenizer.stream_encoder()
    parts = [encoder.push(video[a:b]) for a, b in [(0, 1), (1, 9), (9, 33), (33, 49)]]
    latents = np.concatenate([part.latents for part in parts], axis=1).astype(np.float32)
    assert np.abs(latents - whole.latents).max() <= 1e-4
    codes = np.concatenate([part.codes for part in parts])
    assert np.mean(codes != whole.codes) <= 1e-5


@pytest.mark.parametrize("head", ["codes", "latents"])
def test_decoding_in_chunks_equals_decoding_whole(rate, head):
    tokenizer = untrained(rate)
    [tokens] = tokenizer.encode([noise(49)])
    count = tokens.codes.shape[0]
    decode = tokenizer.decode_codes if head == "codes" else tokenizer.decode_latents
    [whole] = decode([getattr(tokens, head)])
    decoder = tokenizer.stream_decoder(head)
    parts = [decoder.push(part) for part in pieces(tokens, [1, 2, count - 2, count])]
    assert np.abs(np.concatenate(parts).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("head", ["codes", "latents"])
def test_a_slice_decodes_from_its_context_alone(rate, head):
    tokenizer = untrained(rate)
    time, context = tokenizer.rate.time, tokenizer.context
    frames = 1 + time * (context + 4)
    [tokens] = tokenizer.encode([noise(frames, 16, 16)])
    decode = tokenizer.decode_codes if head == "codes" else tokenizer.decode_latents
    [whole] = decode([getattr(tokens, head)])
    decoder = tokenizer.stream_decoder(head, start=False)
    [_, amid] = pieces(tokens, [3, context + 5])
    decoded = decoder.push(amid)
    exact = decoded[time * context :]
    assert len(exact) == 2 * time
    assert np.abs(exact.astype(int) - whole[-len(exact) :]).max() <= 1
    assert np.abs(decoded[:time].astype(int) - whole[1 + 2 * time :][:time]).max() > 1


def test_a_chunk_of_the_wrong_length_is_refused():
    encoder = untrained("8x8x8").stream_encoder()
    with pytest.raises(ValueError, match="nearest valid shape"):
        encoder.push(noise(8))
    encoder.push(noise(9))
    with pytest.raises(ValueError, match="8·k frames, not 9"):
        encoder.push(noise(9))
    with pytest.raises(ValueError, match="nearest valid shape"):
        encoder.push(noise(8, height=30))


def test_a_missing_head_is_an_error():
    decoder = untrained("8x8x8").stream_decoder("latents")
    with pytest.raises(ValueError, match="no latents"):
        decoder.push(Tokens(np.zeros((1, 2, 2), np.uint16), None))
