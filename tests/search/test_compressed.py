"""Codes against all vectors."""
import numpy as np
import pytest

from mmaction_centerclip.search import compressed
from mmaction_centerclip.search.compressed import (
    CompressedVectors,
    Quantizer,
    packed_size,
)

from .test_ranking import random_rows


@pytest.mark.parametrize('blocks', [1, 3])
def test_the_best_are_among_the_best_by_codes(blocks):
    pytest.importorskip('faiss')
    vectors, numbers = random_rows(5000, 32), np.arange(5000)[::-1]
    quantizer = Quantizer.train(vectors[:2000])
    parts = np.array_split(quantizer.encode(vectors), blocks)
    packs = [quantizer.pack(part) for part in parts]
    assert [*map(len, packs)] == [packed_size(len(part), 32) for part in parts]
    codes = CompressedVectors(
        quantizer, [*map(quantizer.open_pack, packs, map(len, parts))], numbers)
    for query in random_rows(20, 32, seed=1).astype(np.float32):
        scores = vectors.astype(np.float32) @ query
        far = scores < np.median(scores)  # so that those that fit are found late
        for some in (None, numbers % 4 == 0, far):
            own = codes.best(query, 200, None if some is None else some[::-1])
            number_of = numbers if some is None else numbers[some]
            assert len({*own}) == 200 and {*own} <= {*number_of}
            best = number_of[np.argsort(-scores[numbers[number_of]])[:10]]
            assert some is far or len({*best} & {*own}) >= 9
        assert len(codes.best(query, 9999)) == 5000
        assert len(codes.best(query, 200, numbers < 7)) == 7


def test_what_can_be_compressed(monkeypatch):
    assert not compressed.can_compress(33)
    monkeypatch.setattr(compressed.importlib.util, 'find_spec', lambda name: None)
    assert not compressed.can_compress(32)
