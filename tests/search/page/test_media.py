"""The page shows a video's frames, tokens and clips, asked over HTTP."""
import io
import shutil
from urllib.parse import quote

import av
import cv2
import numpy as np
import pytest
from mmengine.config import Config

from mmaction_centerclip.apis import VideoTextRetrievalInferencer
from mmaction_centerclip.datasets.video.decoding_errors import DecodingError
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.search import Hit, VideoIndex
from mmaction_centerclip.search.page import Moments, copy_videos, media
from mmaction_centerclip.search.page.media import media_type, token_pictures

from ..films import write_film


def test_thumbnails_are_frames_of_a_time(ask, hits, films):
    file = hits(files='long')[0]['file']
    for seconds, colour in (
            (1, (220, 30, 30)), (5, (30, 200, 40)), (99, (40, 50, 210))):
        status, headers, content = ask(f'/thumbnails/{file}?time={seconds}')
        assert (status, headers['Content-Type']) == (200, 'image/jpeg')
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_allclose(image[50, 10, ::-1], colour, atol=20)


def test_kept_tokens_are_drawn(ask, hits):
    hit = hits(files='long')[0]
    status, _, pictures = ask(f'/tokens/{hit["file"]}?start=7.3&end=10.8')
    assert status == 200
    # 18 s are five windows of 3.6 s; of eight frames of 16 patches, 2 * 16 stay.
    assert [(p['neck'], p['kept'], p['patches'], p['times']) for p in pictures] == [
        ('TokenClustering', 32, 128, '00:07.3 – 00:10.8')]
    status, headers, content = ask(pictures[0]['picture'])
    assert (status, headers['Content-Type']) == (200, 'image/png')
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert image.shape[1] > 4 * 64
    for number in ('1', '9' * 5000, '-1', '٠', 'x'):
        assert ask(f'/tokens/{hit["file"]}/{quote(number)}?start=7&end=8')[0] == 404


def test_kept_tokens_are_those_of_the_moment(films, index_file, inferencer):
    """The film is red until 5 s, then green until 12 s; a window ends at 7.2 s."""
    index = VideoIndex(index_file, inferencer)
    for start, end, colour, frames in (
            (3.7, 5, 0, 3), (5.1, 7.2, 1, 5), (11, 11.1, 1, 1)):
        picture, = token_pictures(index, Hit(str(films / 'long.mp4'), start, end, 0.))
        assert (picture.start, picture.end) == (start, end)
        assert picture.patches == frames * 16
        drawn = cv2.imdecode(np.frombuffer(picture.png, np.uint8), cv2.IMREAD_COLOR)
        assert drawn.shape[1] == min(frames, 4) * 132 - 4
        strongest = np.bincount(drawn[:128, ..., ::-1].reshape(-1, 3).argmax(1))
        assert strongest.argmax() == colour


def test_videos_are_sent_in_parts(ask, hits, films):
    file = hits(files='long')[0]['file']
    whole = (films / 'long.mp4').read_bytes()
    status, headers, content = ask(f'/videos/{file}')
    assert (status, headers['Content-Type'], content) == (200, 'video/mp4', whole)
    status, headers, content = ask(f'/videos/{file}', Range='bytes=100-199')
    assert (status, content) == (206, whole[100:200])
    assert headers['Content-Range'] == f'bytes 100-199/{len(whole)}'
    assert ask(f'/videos/{file}', Range=f'bytes={len(whole)}-')[0] == 416
    assert ask(f'/videos/{file}', Range=f'bytes={"9" * 5000}-')[0] in (400, 416)
    _, _, how = ask(f'/play/{file}?start=5&end=7.5')
    assert how['source'] == f'/videos/{file}#t=5.000,7.500' and not how['is_cut']


def test_others_are_cut(ask, hits):
    hit = hits(files='old')[0]
    assert ask(f'/videos/{hit["file"]}')[0] == 404
    _, _, how = ask(f'/play/{hit["file"]}?start=1&end=2.5')
    assert how['is_cut'] and not how['is_short']
    for _ in range(2):  # the second time it is there
        status, headers, content = ask(how['source'])
        assert (status, headers['Content-Type']) == (200, 'video/mp4')
        with av.open(io.BytesIO(content)) as clip:
            stream, = clip.streams.video
            assert stream.codec_context.codec.canonical_name == 'h264'
            assert sum(1 for _ in clip.decode(stream)) == 15
    assert ask(how['source'], Range='bytes=0-9')[0] == 206
    assert ask(f'/clips/{hit["file"]}?start=2&end=1')[0] == 400
    assert ask(f'/clips/{hit["file"]}?start=0&end=inf')[0] == 400
    assert ask(f'/clips/{hit["file"]}?start=88&end=99')[0] == 400


def test_what_browsers_play(tmp_path):
    assert media_type(str(write_film(tmp_path / 'a.mp4', [3])), 0) == 'video/mp4'
    for name in ('a.mkv', 'a.mov', 'a.avi', 'a.ts'):
        assert media_type(str(write_film(tmp_path / name, [3])), 0) is None
    # Some browsers' clocks start with the first frame, others' do not.
    late = write_film(tmp_path / 'late.mp4', [9], times=lambda i: 2000 + 100 * i)
    assert media_type(str(late), 0) is None
    shutil.copy(tmp_path / 'a.avi', tmp_path / 'named.mp4')
    assert media_type(str(tmp_path / 'named.mp4'), 0) is None
    (tmp_path / 'no.webm').write_text('no video')
    with pytest.raises(DecodingError, match='cannot be decoded'):
        media_type(str(tmp_path / 'no.webm'), 0)


def test_a_model_without_necks_keeps_all(films, tiny_config, tiny_checkpoint, tmp_path):
    cfg = Config.fromfile(tiny_config)
    cfg.model.backbone.necks = []
    inferencer = VideoTextRetrievalInferencer(
        cfg, tiny_checkpoint, 'cpu', show_progress=False)
    index = VideoIndex(tmp_path / 'my.index', inferencer)
    index.add(films / 'sub')
    moments = Moments(lambda: VideoIndex(tmp_path / 'my.index', inferencer))
    path = str(films / 'sub' / 'old.avi')
    assert moments.token_pictures(Hit(path, 0., 1., 0.), 0).result() == []
    assert moments.about()['has_necks'] is False
    moments.close()


def test_windows_at_cuts_are_those_of_the_index(films, inferencer, tmp_path):
    index = VideoIndex(tmp_path / 'my.index', inferencer, split='cuts')
    picture, = token_pictures(index, Hit(str(films / 'long.mp4'), 5., 13., 0.))
    assert (picture.start, picture.end) == pytest.approx((5, 12), abs=0.11)


def test_the_demo_is_of_what_browsers_play(shapes, shapes_captions, tmp_path):
    copy_videos(shapes_captions, shapes, tmp_path)
    copies = {name: tmp_path / name for name in shapes_captions}
    assert {media_type(str(path), 0) for path in copies.values()} == {'video/mp4'}
    written = {path: path.stat().st_mtime_ns for path in copies.values()}
    copy_videos(shapes_captions, shapes, tmp_path)
    assert written == {path: path.stat().st_mtime_ns for path in written}
    for name, path in copies.items():
        frames, expected = (VideoReader(str(file)).get_batch(range(9)).asnumpy()
                            for file in (path, shapes / 'videos' / name))
        assert np.abs(frames - expected.astype(float)).mean() < 4


def test_only_the_last_clips_are_kept(films, tmp_path, monkeypatch):
    monkeypatch.setattr(media, 'MOST_CLIPS', 2)
    monkeypatch.setattr(media, 'MOST_SECONDS', 1.)
    clips = media.ClipFolder(tmp_path)
    for start in range(4):
        clip = clips.cut(Hit(str(films / 'long.mp4'), start, 9., 0.))
        assert len(VideoReader(str(clip))) == 10
    assert len(list(tmp_path.iterdir())) == 2 and clip.exists()
