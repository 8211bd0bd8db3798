"""Find video files, and read clips of them as the input of a model."""
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.functional import resize

from mmaction_centerclip.datasets.video.decoding_errors import decoding_errors
from mmaction_centerclip.datasets.video.video_reader import VideoReader
from mmaction_centerclip.errors import InputError
from mmaction_centerclip.utils.files import VIDEO_SUFFIXES


def video_files(folder: str | Path) -> list[Path]:
    """List the video files in a folder, by name; at least one."""
    paths = sorted(path for path in Path(folder).glob('*')
                   if path.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise InputError(f'{folder}: no video file ({", ".join(VIDEO_SUFFIXES)})')
    return paths


def read_clips(folder: str | Path, clips: int, frames: int, size: int,
               length: int = 32) -> Tensor:
    """Cut clips, uint8 (B, T, 3, H, W), from a few videos, at equal steps through all.

    A clip is ``frames`` T at equal steps out of ``length`` of a video. Clips overlap
    where more are asked for than fit side by side; videos shorter than a clip are left
    out.
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


def normalized(clips: Tensor) -> Tensor:
    """Normalise uint8 clips about as CLIP's and ImageNet's models are."""
    return (clips.float() - 115) / 68
