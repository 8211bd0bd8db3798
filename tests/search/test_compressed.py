"""Codes against all vectors."""
import numpy as np
import pytest

from mmaction_centerclip.search import compressed
from mmaction_centerclip.search.compressed import (
    CompressedVectors,
    Quantizer,
    are_whole,
    checked,
    packed_size,
)

from .test_ranking import random_rows


@pytest.mark.parametrize('blocks', [1, 3])
def test_the_best_are_among_the_best_by_codes(blocks):
    pytest.importorskip('faiss')
    vectors, numbers = random_rows(5000, 32), np.arange(5000)[::-1]
    quantizer = Quantizer.train(vectors[:2000])
    parts, finer = (np.array_split(codes, blocks)
                    for codes in quantizer.encode(vectors))
    finer = [*map(checked, finer)]
    packs = [quantizer.pack(part) for part in parts]
    assert [*map(len, packs)] == [packed_size(len(part), 32) for part in parts]
    codes = CompressedVectors(quantizer, [*map(
        quantizer.open_pack, packs, map(len, parts))], finer, numbers)
    for query in random_rows(20, 32, seed=1).astype(np.float32):
        scores = vectors.astype(np.float32) @ query
        far = scores < np.median(scores)  # so that those that fit are found late
        for some in (None, numbers % 4 == 0, far):
            own = codes.best(query, 40, None if some is None else some[::-1])
            number_of = numbers if some is None else numbers[some]
            assert len({*own}) == 40 and {*own} <= {*number_of}
            best = number_of[np.argsort(-scores[numbers[number_of]])[:10]]
            assert some is far or len({*best} & {*own}) >= 9
        assert len(codes.best(query, 9999)) == 5000
        assert len(codes.best(query, 200, numbers < 7)) == 7


@pytest.mark.parametrize('width', [14, 16, 18])
def test_finer_codes_say_what_the_others_miss(width):
    """Both together stand for a vector; of odd numbers of pairs, too."""
    faiss = pytest.importorskip('faiss')
    vectors, query = random_rows(500, width), np.float32(random_rows(1, width, 1)[0])
    quantizer = Quantizer.train(vectors)
    codes, finer = quantizer.encode(vectors)
    found = []
    for centroids, own in ((quantizer.centroids, codes), (quantizer.finer, finer)):
        product = faiss.ProductQuantizer(width, width // 2, 4)
        faiss.copy_array_to_vector(centroids.ravel(), product.centroids)
        found.append(product.decode(own))
    turned = quantizer.turned(vectors)
    errors = [np.square(turned - found[0]).mean(),
              np.square(turned - found[0] - found[1]).mean()]
    assert errors[1] < .3 * errors[0]
    turned = query @ quantizer.rotation
    table = quantizer.finer_table(turned)
    np.testing.assert_allclose(
        [sum(row[code] for row, code in zip(table, codes)) for codes in finer],
        found[1] @ turned, rtol=0, atol=1e-5)


def hash_of(row):
    """What a checksum is, by Python's integers."""
    first, *numbers = map(int, np.random.PCG64(0).random_raw(1 + len(row)))
    return (first + sum(x * int(y) for x, y in zip(numbers, row))) % 2**64 >> 32


def test_damage_of_finer_codes_is_seen():
    rng = np.random.default_rng(0)
    words = checked(rng.integers(256, size=(20, 9), dtype=np.uint8))
    assert words.shape == (20, 4) and are_whole(words).all()
    assert words[:, -1].tolist() == [hash_of(row[:-1]) for row in words]
    assert hash_of([1, 2, 3]) == 164404285
    damages = [1 << bit for bit in range(32)]
    for damage in damages:
        for places in ([0], [1], [3], [0, 1], [1, 2], [0, 1, 2]):
            damaged = words.copy()
            damaged[:, places] ^= np.uint32(damage)
            assert not are_whole(damaged).any()
    assert not are_whole(np.zeros_like(words)).any()
    assert not are_whole(words[:, [1, 0, 2, 3]]).any()


def test_what_can_be_compressed(monkeypatch):
    assert not compressed.can_compress(33)
    monkeypatch.setattr(compressed.importlib.util, 'find_spec', lambda name: None)
    assert not compressed.can_compress(32)
