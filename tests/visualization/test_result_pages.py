"""Film strips, sheets and the page of failures, from real videos."""
import base64
import re
import warnings
from html.parser import HTMLParser

import cv2
import mmcv
import numpy as np
import pytest
import torch

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.evaluation import RetrievalFeatures, retrieval_metrics
from mmaction_centerclip.visualization import (
    Hit,
    VideoFolder,
    confusable_captions,
    film_strip,
    result_page,
    result_sheet,
    worst_queries,
)

GREEN = [10, 138, 10]
EVIL = '<script>alert(1)</script> & "a" <img src="https://example.com/x.png">'


def test_a_film_strip_has_the_middles_of_the_parts(shapes):
    path = str(shapes / 'videos/test0000.mp4')  # of 16 frames, 64 x 64
    strip = film_strip(path, num_frames=4, height=32)
    assert strip.shape == (32, 4 * 36 - 4, 3)
    frames = VideoReader(path).get_batch([2, 6, 10, 14]).asnumpy()
    for i, frame in enumerate(frames):
        assert np.array_equal(strip[:, 36 * i:36 * i + 32], mmcv.imresize(
            frame, (32, 32), interpolation='area'))
    assert film_strip(path, num_frames=20).shape == (96, 20 * 100 - 4, 3)


@pytest.mark.parametrize('content, reason', [
    (None, 'no such file'), (b'', 'the file is empty'), (b'no video', 'cannot be')])
def test_a_strip_of_no_video(tmp_path, content, reason):
    path = tmp_path / 'a.mp4'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DecodingError, match=reason):
        film_strip(str(path))


@pytest.mark.parametrize('names, relative', [
    (['data/videos/a.mp4', 'data/videos/b.mp4'], ['a.mp4', 'b.mp4']),
    (['data/videos/a.mp4', 'data/videos/x/b.mp4'], ['a.mp4', 'x/b.mp4']),
    (['data/videos/a.mp4', 'data/videos2/b.mp4'], ['videos/a.mp4', 'videos2/b.mp4']),
    (['/old/a.mp4', '/old/b.mp4'], ['a.mp4', 'b.mp4']),
    (['a.mp4', 'x/b.mp4'], ['a.mp4', 'x/b.mp4']),
    (['s3://bucket/a.mp4', 's3://bucket/b.mp4'], ['a.mp4', 'b.mp4']),
])
def test_names_are_found_in_another_folder(tmp_path, names, relative):
    for name in relative:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = VideoFolder(str(tmp_path), names)
    assert [folder.path(name) for name in names] == [
        str((tmp_path / name).resolve()) for name in relative]


@pytest.mark.parametrize('name', [
    '../secret.mp4', 'x/../../secret.mp4', '{outside}/secret.mp4', 'link.mp4',
    'null\0byte.mp4'])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    inside, name = tmp_path / 'videos', name.format(outside=tmp_path)
    (inside / 'x').mkdir(parents=True)
    (inside / 'a.mp4').touch()
    (tmp_path / 'secret.mp4').write_text('secret')
    (inside / 'link.mp4').symlink_to(tmp_path / 'secret.mp4')
    folder = VideoFolder(str(inside), ['a.mp4', name])
    with pytest.raises(DecodingError, match='outside of the folder|null byte'):
        folder.path(name)


def test_a_folder_without_the_videos(tmp_path):
    with pytest.raises(InputError, match='no such folder: .*/none'):
        VideoFolder(str(tmp_path / 'none'), ['a.mp4'])
    with pytest.raises(InputError, match="none of the 2 videos is there, such as 'a"):
        VideoFolder(str(tmp_path), ['data/a.mp4', 'data/b.mp4'])


def test_a_sheet_frames_the_right_clip():
    strips = [np.full((40, 300, 3), 50 * i, dtype=np.uint8) for i in range(1, 4)]
    hits = [Hit(str(i), f'{i}.mp4', 0.5, i == 2, strip)
            for i, strip in enumerate(strips, 1)]
    sheet = result_sheet(hits, 'a query')
    assert sheet.shape == (10 + 30 + 3 * 76, 320, 3)
    for i, strip in enumerate(strips):
        y = 10 + 30 + 26 + 76 * i
        assert np.array_equal(sheet[y:y + 40, 10:310], strip)
        for edge in (sheet[y - 4:y, 6:314], sheet[y + 40:y + 44, 6:314],
                     sheet[y:y + 40, 6:10], sheet[y:y + 40, 310:314]):
            assert (edge == GREEN).all() == (i == 1)
            assert i == 1 or not (edge == GREEN).all(axis=2).any()
    # The query and three labels are written, each above its strip.
    dark = (sheet < 100).all(axis=2).any(axis=1)
    assert dark[10:30].any() and dark[40:60].any()
    with pytest.raises(InputError, match='at least one hit'):
        result_sheet([])


def test_any_text_can_be_written():
    """No formula, no warning of signs that the font has not, no second line."""
    hit = Hit('1', 'x$_{$y\n.mp4', 0.5, True, None, 'no such file')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        sheets = [result_sheet([hit], text) for text in (
            r'costs $5 and $\frac{$', '\u4e00\u4e2a\u4eba \U0001f415', 'word ' * 10000)]
    assert [sheet.shape for sheet in sheets] == [
        (10 + lines * 20 + 10 + 36, 520, 3) for lines in (1, 1, 4)]


class Page(HTMLParser):
    """The tags, texts and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.links, self.alts = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ('src', 'href', 'action')]
        self.alts += [v for k, v in attrs if k == 'alt']

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def features():
    names = [f'data/shapes/videos/test000{i}.mp4' for i in (0, 1)]
    names += ['data/shapes/videos/gone.mp4', 'data/shapes/videos/<b>.mp4']
    similarity = torch.tensor([[.2, .9, .8, .1], [.3, .9, .1, .1], [.2, .1, .3, .9],
                               [.1, .2, .9, .3]])
    return RetrievalFeatures(
        {}, {}, torch.arange(4), names, [EVIL, 'plain', 'a \udce9 surrogate', '$x$'],
        similarity=similarity)


def test_the_page_of_failures(features, shapes):
    rows = features.similarity, features.video_of_text
    folder = VideoFolder(str(shapes / 'videos'), features.filenames)
    failures = worst_queries(*rows, 9, topk=2)
    pairs = confusable_captions(*rows, 9)
    text = result_page('features <1>.pth', 'R1 <25>', features, failures, pairs, folder)
    text.encode()
    page = Page(text)
    assert set(page.tags) == {'html', 'head', 'meta', 'title', 'style', 'body', 'h1',
                              'h2', 'h3', 'p', 'pre', 'span', 'section', 'img',
                              'br'}
    assert EVIL in page.texts and r'a \udce9 surrogate' in page.texts
    assert 'features <1>.pth' in page.texts and 'R1 <25>' in page.texts
    assert page.texts.count('Rank 3 of 4') == 1 and page.texts.count(
        'Rank 2 of 4') == 2
    assert "default-src 'none'; img-src data:" in text
    assert not re.search(r'url\(|@import', text)
    assert len(page.links) == len(failures) + len(pairs)
    assert page.alts[0] == ('1. test0001.mp4 0.900; 2. gone.mp4 0.800 (no such file); '
                            '3. test0000.mp4 0.200 right')
    assert any('<b>.mp4' in alt for alt in page.alts)
    for link in page.links:
        head, content = link.split(',')
        assert head == 'data:image/jpeg;base64'
        picture = cv2.imdecode(
            np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[1] in (516, 520)
    empty = Page(result_page('a', 'b', features, [], [], folder))
    assert 'Every caption finds its own video first.' in empty.texts
    assert empty.links == []


@pytest.fixture(params=[False, True], ids=['distinct', 'ties'])
def matrix(request):
    """Similarities of 40 captions of 12 videos, one of which has none."""
    own = torch.randint(0, 11, (40, )).sort().values
    similarity = torch.randn(40, 12)
    if request.param:
        similarity = similarity.round()
    return similarity, own


def rank_of(scores, own):
    """The mean of the places that a video has in any order of its ties."""
    places = [place for place, score in enumerate(
        sorted(scores, reverse=True), start=1) if score == scores[own]]
    return sum(places) / len(places)


def test_worst_queries(matrix):
    similarity, own = matrix
    ranks = [rank_of(row, video) for row, video in zip(
        similarity.tolist(), own.tolist())]
    found = worst_queries(similarity, own, 40, topk=3)
    assert len(found) == sum(rank > 1 for rank in ranks)
    assert [x.rank for x in found] == sorted(
        (rank for rank in ranks if rank > 1), reverse=True)
    for failure in found:
        assert failure.rank == ranks[failure.text]
        scores = similarity[failure.text].tolist()
        order = sorted(range(12), key=lambda video: -scores[video])
        assert failure.videos == order[:3]
    assert worst_queries(similarity, own, 4, topk=3) == found[:4]
    # The ranks are those of the evaluation.
    total = sum(x.rank for x in found) + 40 - len(found)
    assert total / 40 == pytest.approx(retrieval_metrics(similarity, own)['t2v/MnR'])


def test_confusable_captions(matrix):
    similarity, own = matrix
    pairs = {}
    for text, video in enumerate(own.tolist()):
        scores = similarity[text].tolist()
        others = [v for v in range(12) if v != video]
        first = max(others, key=lambda v: scores[v])
        rivals = [t for t in range(40) if own[t] == first]
        if scores[first] < scores[video] or not rivals:
            continue
        difference, rival = min(
            ((similarity[t] - similarity[text]).square().mean().sqrt().item(), t)
            for t in rivals)
        pairs[frozenset((text, rival))] = difference
    found = confusable_captions(similarity, own, 100)
    assert {frozenset(pair.texts) for pair in found} == set(pairs)
    assert [x.difference for x in found] == pytest.approx(sorted(pairs.values()))
    for pair in found:
        assert pair.difference == pytest.approx(pairs[frozenset(pair.texts)])
        assert pair.videos == tuple(own[list(pair.texts)].tolist())
        assert similarity[pair.texts[0], pair.videos[1]] >= similarity[
            pair.texts[0], pair.videos[0]]
    assert confusable_captions(similarity, own, 3) == found[:3]


def test_a_perfect_evaluation_has_none():
    assert worst_queries(torch.eye(4), torch.arange(4), 3) == []
    assert confusable_captions(torch.eye(4), torch.arange(4), 3) == []
    assert confusable_captions(torch.ones(2, 1), torch.zeros(2), 3) == []


@pytest.mark.parametrize('search', [worst_queries, confusable_captions])
def test_bad_input(search):
    with pytest.raises(InputError, match='count must be a positive integer'):
        search(torch.eye(4), torch.arange(4), 0)
    with pytest.raises(InputError, match='video_of_text must be from 0 to 3'):
        search(torch.eye(4), torch.arange(1, 5), 1)
    with pytest.raises(InputError, match='1 values that are not finite'):
        search(torch.tensor([[0, torch.nan]]), torch.tensor([0]), 1)
