"""The page's answers, asked over HTTP."""
import json
import os
import shutil
import socket
import time
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import cv2
import numpy as np
import pytest

from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.search import Hit, VideoIndex
from mmaction_centerclip.search.page import Moments
from mmaction_centerclip.search.page.serving import hosts_of
from mmaction_centerclip.search.records import FileRecord, Segments

from .conftest import COPY, HTML, serve_here


def moment(hit):
    return urlencode(dict(start=hit['start'], end=hit['end']))


@pytest.mark.slow
def test_words_find_what_the_index_finds(ask, hits, index_file, inferencer):
    expected = VideoIndex(index_file, inferencer).search('a red circle', topk=100)
    found = hits()
    assert [(hit['start'], hit['end'], hit['score']) for hit in found] == [
        (hit.start, hit.end, hit.score) for hit in expected]
    assert {hit['name'] for hit in found} == {'long.mp4', 'sub/old.avi', COPY, HTML}
    assert len(hits(topk=1)) == 1
    assert {hit['name'] for hit in hits(files='old')} == {'sub/old.avi'}
    assert {hit['name'] for hit in hits(files='*g.mp4')} == {'long.mp4'}
    assert hits(min_score=2) == []
    _, _, about = ask('/about')
    assert about == dict(videos=4, index='my.index', model='tiny', most_bytes=2**20,
                         has_necks=True, can_exclude=True, examples=['a red circle'])
    excluded = VideoIndex(index_file, inferencer).search(
        'a red circle', topk=100, exclude=['a star', 'blue'])
    assert [hit['score'] for hit in hits(**{'not': 'a star, blue'})] == [
        hit.score for hit in excluded]


@pytest.mark.parametrize('query, reason', [
    ('', 'Say in words'), ('words=++', 'Say in words'),
    ('words=x&topk=0', 'from 1 to 100'), ('words=x&topk=1.5', 'from 1 to 100'),
    ('words=x&topk=many', 'must be a number'), ('words=x&min_score=nan', 'a number'),
    ('words=x&files=absent', 'No video has a name like “absent”'),
    # A folder above all, which the page does not name.
    ('words=x&files=films', 'No video has a name'),
    ('words=x&not=x', 'nothing is left of the query'),
])
def test_mistakes_are_said_in_words(ask, query, reason):
    status, _, said = ask(f'/search?{query}')
    assert status == 400 and reason in said['error']


def test_messages_name_no_folder(ask, hits, films):
    file = hits(files='long')[0]['file']
    status, _, said = ask(f'/search?like={file}&start=88&end=99')
    assert (status, said['error']) == (
        400, 'the index has no segment of long.mp4 from 88.0 to 99.0 seconds')


def test_videos_of_the_index(ask):
    status, _, listed = ask('/videos?count=2')
    assert status == 200 and listed['total'] == 4
    _, _, others = ask('/videos?first=2')
    videos = listed['videos'] + others['videos']
    assert {video['name']: video['times'] for video in videos} == {
        'long.mp4': '00:18.0', COPY: '00:18.0', 'sub/old.avi': '00:03.0',
        HTML: '00:01.0'}
    _, _, listed = ask('/videos?files=again')
    assert [video['name'] for video in listed['videos']] == [COPY]
    assert ask('/videos?first=99')[2]['videos'] == []
    assert ask('/videos?count=0')[0] == ask('/videos?first=x')[0] == 400


def test_copies_are_known(hits):
    found = hits()
    copies = [(hit, found[hit['copy_of']]) for hit in found
              if hit['copy_of'] is not None]
    assert any({one['name'], other['name']} == {'long.mp4', COPY}
               for one, other in copies)
    for one, other in copies:
        assert other['copy_of'] is None and abs(one['score'] - other['score']) < .05
        assert one['name'] == other['name'] or one['start'] == pytest.approx(
            other['start'], abs=.5)


def test_moments_are_exported(ask, hits):
    found = hits(files='long')
    named = [('hit', f'{hit["file"]},{hit["start"]},{hit["end"]},{hit["score"]}')
             for hit in found[:2]]
    status, headers, text = ask(f'/export/csv?{urlencode(named)}')
    assert (status, headers['Content-Disposition']) == (200, 'attachment')
    assert text.decode().splitlines()[1:] == [
        f'long.mp4,{hit["start"]:.3f},{hit["end"]:.3f},{hit["score"]:.4f}'
        for hit in found[:2]]
    _, _, text = ask(f'/export/edl?{urlencode([*named, ("title", "red")])}')
    assert text.startswith(b'TITLE: red\n') and b'CLIP NAME: long.mp4' in text
    for query, status in (('hit=x', 400), ('hit=x,0,1,0', 404), ('', 400)):
        assert ask(f'/export/srt?{query}')[0] == status
    assert ask(f'/export/exe?{urlencode(named)}')[0] == 404


def test_a_clip_or_a_picture_is_a_query(ask, films):
    frame = VideoReader(str(films / 'long.mp4')).get_batch([60]).asnumpy()[0]
    picture = cv2.imencode('.jpg', frame[..., ::-1])[1].tobytes()
    for content in (picture, (films / 'sub' / 'old.avi').read_bytes()):
        status, _, found = ask('/search?topk=2', content)
        assert status == 200 and len(found['hits']) == 2
    for content, status, reason in [
            (b'no video', 400, 'cannot be read: cannot be decoded'),
            (b'#EXTM3U\n#EXTINF:1,\nlong.mp4\n', 400, 'cannot be read'),
            (bytes(2**20 + 1), 413, 'larger than 1 MiB'), (b'', 400, 'empty')]:
        got, _, said = ask('/search', content)
        assert (got, reason in said['error']) == (status, True), said


def test_an_upload_that_is_broken_off_is_one_line(page, ask, caplog):
    host, port = page.removeprefix('http://').split(':')
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b'POST /search HTTP/1.1\r\nHost: localhost\r\n'
                           b'Content-Length: 1000\r\n\r\nbegun')
        time.sleep(.2)
    for _ in range(100):
        if caplog.records:
            break
        time.sleep(.02)
    assert [record.getMessage() for record in caplog.records] == [
        'An upload was broken off.']
    assert not any(record.exc_info for record in caplog.records)


def test_more_like_a_moment(ask, hits, index_file, inferencer):
    own = hits(files='long')[0]
    status, _, found = ask(f'/search?like={own["file"]}&{moment(own)}&topk=100')
    assert status == 200 and found['hits']
    assert all(hit['file'] != own['file'] or hit['end'] <= own['start']
               or hit['start'] >= own['end'] for hit in found['hits'])
    # By the formula: the rows' mean, and its cosine with all rows.
    index = VideoIndex(index_file, inferencer)
    paths, file_of, rows = index.store.load()
    names = np.array([os.path.basename(paths[i]) for i in file_of])

    def inside(hit):
        return (names == os.path.basename(hit['name'])) & (
            rows.start >= hit['start']) & (rows.end <= hit['end'])

    assert (found['like']['name'], found['like']['times']) == ('long.mp4', own['times'])
    query = rows.vectors[inside(own)].astype(np.float64).mean(0)
    cosines = rows.vectors.astype(np.float64) @ query / np.linalg.norm(query)
    for hit in found['hits']:
        assert hit['score'] == pytest.approx(cosines[inside(hit)].max(), abs=1e-3)
    with pytest.raises(InputError, match='no segment of .*/nothing.mp4 from 0 to 1'):
        index.search(Hit('/nothing.mp4', 0, 1, 0.))


@pytest.mark.parametrize('kind', ['thumbnails', 'tokens', 'play', 'videos', 'clips'])
def test_only_files_of_the_index_are_sent(ask, films, kind):
    secret = films.with_name('secret.mp4')
    shutil.copy(films / 'long.mp4', secret)
    for file in ('0' * 20, '1', '..', '%2e%2e', '..%2Fsecret.mp4', 'long.mp4',
                 str(secret), str(films / 'long.mp4'), f'file:{secret}',
                 str(secret).replace('/', '%2F'), '%00', '%ff'):
        status, _, said = ask(f'/{kind}/{file}?start=0&end=1')
        assert status == 404 and 'error' in said, file
    for path in ('/static/../app.py', '/static/%2e%2e/app.py', '/static/..%2fapp.py',
                 '/static//etc/passwd', '/../../../etc/passwd'):
        assert ask(path)[0] == 404, path


def test_a_file_that_is_gone_is_said_to_be(films, inferencer, tmp_path):
    shutil.copytree(films, tmp_path / 'films')
    index = VideoIndex(tmp_path / 'my.index', inferencer, window=4)
    index.add(tmp_path / 'films')
    index.close()
    with serve_here(tmp_path / 'my.index', inferencer) as (address, app):
        moments, folder = app.state.moments, app.state.clips.folder
        file, = (file for file, (path, *_) in moments._files.items()
                 if path.endswith('long.mp4'))
        (tmp_path / 'films' / 'sub' / 'old.avi').replace(
            tmp_path / 'films' / 'long.mp4')
        for query in ('thumbnails/{}?time=0', 'tokens/{}?start=0&end=1',
                      'clips/{}?start=0&end=1', 'play/{}?start=0&end=1',
                      'search?like={}&start=0&end=1', 'videos/{}'):
            with pytest.raises(HTTPError, match='404') as caught:
                urlopen(f'{address}/{query.format(file)}')
            assert 'changed since it was indexed' in caught.value.read().decode()
        with urlopen(f'{address}/search?words=x&topk=99') as answer:
            changes = {hit['name']: hit['change'] for hit in json.load(answer)['hits']}
        assert changes[HTML] is None and 'gone' in changes['sub/old.avi']
        assert 'changed' in changes['long.mp4']
        (tmp_path / 'films' / 'long.mp4').unlink()
        with pytest.raises(HTTPError, match='404') as caught:
            urlopen(f'{address}/thumbnails/{file}?time=0')
        assert 'gone since it was indexed' in caught.value.read().decode()
        other = VideoIndex(tmp_path / 'my.index', inferencer)
        other.add(tmp_path / 'films')  # which takes it out
        urlopen(f'{address}/search?words=x').close()
        assert moments.path(file) is None
        assert folder.is_dir()
    assert not folder.exists()


@pytest.mark.parametrize('headers, status', [
    (dict(Host='evil.example'), 400), (dict(Host='127.0.0.1.evil.example'), 400),
    (dict(Host='localhost:1'), 200), (dict(Origin='http://evil.example'), 403),
    (dict(Origin='null'), 403), (dict(Sec_Fetch_Site='cross-site'), 403),
    (dict(Sec_Fetch_Site='same-origin'), 200),
])
def test_other_sites_are_refused(ask, headers, status):
    got, answered, _ = ask('/search?words=x', **headers)
    assert got == status
    assert "default-src 'self'" in answered['Content-Security-Policy']
    assert 'unsafe' not in answered['Content-Security-Policy']
    assert answered['X-Content-Type-Options'] == 'nosniff'


def test_a_link_to_the_page_is_followed(ask, page):
    status, headers, content = ask('/', Sec_Fetch_Site='cross-site')
    assert status == 200 and b'<title>Find a moment' in content
    assert ask('/about', Origin=page)[0] == 200


def test_names_that_no_file_has(inferencer, tmp_path):
    def fill():
        index = VideoIndex(tmp_path / 'my.index', inferencer)
        row = FileRecord(1, 1, index.model, 'x.py')
        vector = index.encoder.encode_query('a star').astype(np.float16)[None]
        for path in ('a\0b.mp4', '/a.mp4', 'x' * 5000):
            index.store.put(path, row, Segments(np.zeros(1), np.ones(1), vector))
        return index

    moments = Moments(fill)
    hits = moments.search('x', 9, None, '').result()
    assert {hit['change'] for hit in hits} == {'is gone since it was indexed'}
    for hit in hits:
        with pytest.raises(DecodingError, match='is gone'):
            moments.path(hit['file'])
    moments.close()


def test_an_index_without_rows_is_refused_at_once(inferencer, tmp_path):
    with pytest.raises(InputError, match='no segments; add a folder'):
        Moments(lambda: VideoIndex(tmp_path / 'my.index', inferencer))


def test_names_of_this_machine():
    assert 'here.example' in hosts_of('127.0.0.1', ['here.example'])
    assert '[::2]' in hosts_of('::2') and '0.0.0.0' not in hosts_of('0.0.0.0')
    assert socket.gethostname() in hosts_of('0.0.0.0')
    assert socket.gethostname() not in hosts_of('127.0.0.1')
