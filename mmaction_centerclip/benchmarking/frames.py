"""Find video files, and read frames of them as the input of a model."""
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import resize

from mmaction_centerclip.datasets.transforms import VideoReader, decoding_errors
from mmaction_centerclip.errors import InputError

__all__ = ['read_frames', 'read_windows', 'video_files']

SUFFIXES = ('.mp4', '.avi', '.mkv', '.webm')


def video_files(folder: str | Path) -> list[Path]:
    """List the video files in a folder, by name.

    Raises:
        InputError: If there is none.
    """
    paths = sorted(path for path in Path(folder).glob('*') if path.suffix in SUFFIXES)
    if not paths:
        raise InputError(f'{folder}: no video file ({", ".join(SUFFIXES)})')
    return paths


def read_frames(folder: str | Path, videos: int, frames: int, size: int) -> Tensor:
    """Read frames of real clips, normalised as CLIP's.

    Clips are used in turn, each time from another start.

    Args:
        folder (str | Path): The folder with video files.
        videos (int): How many videos B to return.
        frames (int): Frames T of each.
        size (int): Height H and width W in pixels.

    Returns:
        Tensor: float32 (B, T, 3, H, W).

    Raises:
        InputError: If there is no video file.
        DecodingError: If one cannot be decoded.
    """
    paths = video_files(folder)
    clips = []
    for number in range(videos):
        path = str(paths[number % len(paths)])
        with decoding_errors(path, everything=True):
            reader = VideoReader(path)
            start = 3 * (number // len(paths)) % max(len(reader) // 2, 1)
            steps = torch.linspace(start, len(reader) - 1, frames).long().tolist()
            clip = torch.from_numpy(reader.get_batch(steps).asnumpy())
        clips.append(resize(clip.permute(0, 3, 1, 2), [size, size]))
    imgs = torch.stack(clips).float()
    mean = torch.tensor([122.771, 116.746, 104.093]).view(3, 1, 1)
    std = torch.tensor([68.500, 66.632, 70.323]).view(3, 1, 1)
    return (imgs - mean) / std


def read_windows(folder: str | Path, clips: int, frames: int, size: int,
                 length: int = 32) -> Tensor:
    """Cut many clips from a few videos, at equal steps through all of them.

    Neighbouring clips of a video overlap where there are more than fit side by
    side. Videos that are shorter than a clip are left out.

    Args:
        folder (str | Path): The folder with video files.
        clips (int): How many clips B to return.
        frames (int): Frames T of each, at equal steps.
        size (int): Height H and width W in pixels.
        length (int): Frames of the video that a clip spans. Defaults to 32.

    Returns:
        Tensor: uint8 (B, T, 3, H, W).

    Raises:
        InputError: If there is no video file, or there are fewer clips.
        DecodingError: If a video cannot be decoded.
    """
    span = torch.linspace(0, length - 1, frames).long()
    starts, readers = [], []
    for path in video_files(folder):
        with decoding_errors(str(path), everything=True):
            readers.append(VideoReader(str(path)))
            starts += [(readers[-1], path, start)
                       for start in range(len(readers[-1]) - length + 1)]
    if len(starts) < clips:
        raise InputError(f'{folder}: there are {len(starts)} clips of {length} frames, '
                         f'expected at least {clips}')
    found = []
    for index in torch.linspace(0, len(starts) - 1, clips).long().tolist():
        reader, path, start = starts[index]
        with decoding_errors(str(path), everything=True):
            clip = torch.from_numpy(
                reader.get_batch((start + span).tolist()).asnumpy())
        found.append(resize(clip.permute(0, 3, 1, 2), [size, size]))
    return torch.stack(found)
