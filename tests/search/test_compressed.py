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
    for centroids, own in ((quantizer.centroids, codes),
                           (quantizer.finer, finer.view(np.uint8))):
        product = faiss.ProductQuantizer(width, width // 2, 4)
        faiss.copy_array_to_vector(centroids.ravel(), product.centroids)
        found.append(product.decode(np.ascontiguousarray(own[:, :-(-width // 4)])))
    turned = quantizer.turned(vectors)
    errors = [np.square(turned - found[0]).mean(),
              np.square(turned - found[0] - found[1]).mean()]
    assert errors[1] < .3 * errors[0]
    turned = query @ quantizer.rotation
    table = quantizer.finer_table(turned)
    own = [sum(row[code] for row, code in zip(table, codes.view(np.uint8)))
           for codes in finer]
    np.testing.assert_allclose(own, found[1] @ turned, rtol=0, atol=1e-5)


def test_any_damage_of_finer_codes_is_seen():
    codes = np.random.default_rng(0).integers(256, size=(20, 9), dtype=np.uint8)
    words = checked(codes)
    assert are_whole(words) and words.shape == (20, 3)
    for place in np.ndindex(words.shape):
        damaged = words.copy()
        damaged[place] ^= 1 << (7 * sum(place) % 64)
        assert not are_whole(damaged)
    assert not are_whole(np.zeros_like(words)) and not are_whole(words[:, [1, 0, 2]])


def test_what_can_be_compressed(monkeypatch):
    assert not compressed.can_compress(33)
    monkeypatch.setattr(compressed.importlib.util, 'find_spec', lambda name: None)
    assert not compressed.can_compress(32)
