"""Clips whose frame i has the brightness 20 + i: a frame says its number."""
import os
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mmaction_centerclip.datasets.video.video_reader import VideoReader

FRAMES = 60
X264 = 'scenecut=0:keyint={}:min-keyint={}:bframes={}'
OPEN_GOP = 'open-gop=1:b-adapt=0:b-pyramid=2:ref=5:' + X264.format(10, 10, 7)


def h264(keyint: int = 12, bframes: int = 3, **more) -> dict:
    x264 = X264.format(keyint, keyint, bframes)
    return dict(codec='libx264', options={'x264-params': x264}, **more)


def x264(params: str, **more) -> dict:
    return dict(codec='libx264', options={'x264-params': params}, **more)


def x265(params: str) -> dict:
    return dict(codec='libx265', options={
        'x265-params': f'log-level=0:scenecut=0:keyint=12:min-keyint=12:{params}'})


def of_size(codec: str, bframes: int = 0, **more) -> dict:
    return dict(codec=codec, bframes=bframes, **more)


def unevenly(number: int) -> int:
    """Milliseconds of a frame, in steps of 13 to 400."""
    return sum((13, 40, 41, 400, 33)[i % 5] for i in range(number))


VP = dict(options={'lag-in-frames': '16', 'auto-alt-ref': '1', 'g': '20'})
FRAGMENTED = dict(movflags='frag_keyframe+empty_moov+default_base_moof')
# Of every container with the codecs that are met in it.
CLIPS = {
    'h264.mp4': h264(), 'h264_p.mp4': h264(bframes=0),
    'one_key.mp4': h264(250), 'open_gop.mp4': x264(OPEN_GOP),
    'all_keys.mov': h264(1, 0), 'h264.mov': h264(), 'h264.3gp': h264(),
    'refresh.mp4': x264('intra-refresh=1:keyint=15:bframes=0:scenecut=0'),
    'interlaced.mp4': x264('interlaced=1:keyint=12'),
    'fragmented.mp4': h264(muxer=FRAGMENTED),
    'fragmented_open.mp4': x264(OPEN_GOP, muxer=FRAGMENTED),
    'faststart.mp4': h264(muxer=dict(movflags='faststart')),
    'no_edit.mp4': h264(muxer=dict(use_editlist='0')),
    'negative.mp4': h264(muxer=dict(movflags='negative_cts_offsets')),
    'late.mp4': h264(times=lambda i: 2000 + 40 * i),
    'uneven.mp4': h264(times=unevenly), 'uneven.mkv': h264(times=unevenly),
    'uneven.ts': h264(times=unevenly),
    'hevc.mp4': x265('open-gop=0'), 'hevc_open.mp4': x265('open-gop=1'),
    'hevc.mkv': x265('open-gop=1'), 'hevc.ts': x265('open-gop=1'),
    'mpeg4.mp4': of_size('mpeg4', 2), 'mpeg4.avi': of_size('mpeg4'),
    'mpeg4_b.avi': of_size('mpeg4', 2), 'msmpeg4.avi': of_size('msmpeg4'),
    'h264.avi': h264(), 'h264_p.avi': h264(5, 0), 'open_gop.avi': x264(OPEN_GOP),
    'mjpeg.avi': dict(codec='mjpeg', pixels='yuvj420p'),
    'mjpeg.mov': dict(codec='mjpeg', pixels='yuvj420p'),
    'prores.mov': dict(codec='prores_ks', pixels='yuv422p10le'),
    'ffv1.mkv': dict(codec='ffv1'), 'h264.mkv': h264(),
    'open_gop.mkv': x264(OPEN_GOP), 'mpeg2.mkv': of_size('mpeg2video', 2),
    'vp8.webm': dict(codec='libvpx', **VP),
    'vp9.webm': dict(codec='libvpx-vp9', **VP),
    'vp9.mp4': dict(codec='libvpx-vp9', **VP),
    'vp8.ogv': dict(codec='libvpx', **VP), 'theora.ogv': dict(codec='libtheora'),
    'av1.mp4': dict(codec='libsvtav1', options=dict(g='20', preset='12')),
    'av1.webm': dict(codec='libsvtav1', options=dict(g='20', preset='12')),
    'h264.ts': h264(), 'open_gop.ts': x264(OPEN_GOP),
    'mpeg2.ts': of_size('mpeg2video', 2), 'mpeg1.mpg': of_size('mpeg1video', 2),
    'mpeg2.mpg': of_size('mpeg2video', 2), 'h264.flv': h264(),
    'sorenson.flv': of_size('flv'), 'wmv2.wmv': of_size('wmv2'),
    'gif.gif': dict(codec='gif', pixels='gray'), 'h264.nut': h264(),
}


WRITTEN = {}


def write_clip(path: Path,
               codec: str,
               options: dict | None = None,
               pixels: str = 'yuv420p',
               bframes: int | None = None,
               times: Callable[[int], int] | None = None,
               muxer: dict | None = None,
               frames: int = FRAMES) -> Path:
    """Write a clip of 96 x 64, 25 frames a second; encoded once in a process.

    Args:
        path (Path): Of an extension that says the container.
        codec (str): An encoder of PyAV; a test without it is skipped.
        options (dict, optional): Its options.
        pixels (str): The format of the pixels.
        bframes (int, optional): B-frames of MPEG encoders, which then have a
            key frame every 12 and enough bits for an even picture.
        times (Callable, optional): The milliseconds of a frame.
        muxer (dict, optional): Options of the container.
        frames (int): How many.
    """
    try:
        av.codec.Codec(codec, 'w')
    except ValueError:
        pytest.skip(f'PyAV is built without the encoder {codec}')
    key = (path.suffix, codec, repr(options), pixels, bframes, times, repr(muxer),
           frames)
    if key in WRITTEN:
        path.write_bytes(WRITTEN[key])
        return path
    with av.open(str(path), 'w', options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 96, 64, pixels
        context = stream.codec_context
        context.time_base = Fraction(1, 1000 if times else 25)
        context.thread_count = 3  # alike on machines of any size
        if bframes is not None:
            context.gop_size, context.max_b_frames = 12, bframes
            context.bit_rate = 4_000_000
        for i in range(frames):
            frame = av.VideoFrame.from_ndarray(
                np.full((64, 96, 3), 20 + i, np.uint8)).reformat(format=pixels)
            frame.pts = times(i) if times else i
            frame.time_base = context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    # SVT-AV1, run by root, asks for real-time scheduling, which would keep all
    # others on the machine, and what tests start, from the processor.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    WRITTEN[key] = path.read_bytes()
    return path


def silence() -> av.AudioFrame:
    """Return a little sound."""
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 320), np.int16), layout='mono')
    frame.sample_rate = 8000
    return frame


def open_video(path: Path, source: str = 'name') -> VideoReader:
    """Open a video by its name or by its bytes."""
    return VideoReader(str(path) if source == 'name' else path.read_bytes())


def numbers_of(frames: np.ndarray) -> list[int]:
    """Return which frames these are, by their brightness; -1 for none."""
    levels = frames.astype(float)
    even = np.ptp(levels.mean(axis=3), axis=(1, 2)) < 6
    return np.where(even, levels.mean(axis=(1, 2, 3)).round() - 20, -1).astype(
        int).tolist()


def change(path: Path, box: bytes, replace: Callable[[bytes], bytes]) -> Path:
    """Change what follows the name of a box of an MP4 file."""
    head, tail = path.read_bytes().split(box, 1)
    path.write_bytes(head + box + replace(tail))
    return path


def later_key_frames(tail: bytes) -> bytes:
    """Call the frames 3 behind the key frames key frames, in place of those."""
    count, = struct.unpack('>I', tail[4:8])
    keys = struct.unpack(f'>{count}I', tail[8:8 + 4 * count])
    moved = [keys[0], *(key + 3 for key in keys[1:])]
    return tail[:8] + struct.pack(f'>{count}I', *moved) + tail[8 + 4 * count:]


def start_at(frame: int) -> Callable[[bytes], bytes]:
    """Make the only edit of a list begin at a frame (512 ticks each)."""

    def replace(tail: bytes) -> bytes:
        length, start = struct.unpack('>Ii', tail[8:16])
        return tail[:8] + struct.pack(
            '>Ii', length - 40 * frame, start + 512 * frame) + tail[16:]

    return replace
