"""Films of plain shots, whose cuts are known."""
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

COLOURS = ((220, 30, 30), (30, 200, 40), (40, 50, 210), (230, 220, 40), (20, 20, 20))


def write_film(path: Path, shots: list[int], fps: int = 10, times=None) -> Path:
    """Write shots of so many frames each, one colour a shot.

    Args:
        path (Path): An .mp4.
        shots (list[int]): Frames of each shot.
        fps (int): Frames a second.
        times (Callable, optional): The milliseconds of a frame.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=fps)
        stream.width = stream.height = 64
        stream.pix_fmt = 'yuv420p'
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        number = 0
        for shot, frames in enumerate(shots):
            for i in range(frames):
                image = np.full((64, 64, 3), COLOURS[shot % 5], np.uint8)
                image[20:30, (3 * i) % 50:(3 * i) % 50 + 8] = 255  # it moves
                frame = av.VideoFrame.from_ndarray(image)
                if times:
                    frame.pts, frame.time_base = times(number), Fraction(1, 1000)
                number += 1
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
