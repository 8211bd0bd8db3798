"""Open a video file with decord, and survive a broken one."""
import os.path as osp

from mmaction.datasets.transforms import DecordInit
from mmaction.registry import TRANSFORMS

__all__ = ['DecordInitFromFile']


@TRANSFORMS.register_module()
class DecordInitFromFile(DecordInit):
    """``DecordInit`` that opens local files by name.

    The zoo's own reads the whole file and hands decord the bytes. With bytes,
    decord 0.6 ends the process with a segmentation fault on a truncated AVI
    file; with the name it raises an error or decodes what there is. Other
    backends than ``'disk'`` work as in ``DecordInit``.

    Required and Added Keys: as for ``DecordInit``.

    Args:
        io_backend (str): Where the files are. Defaults to ``'disk'``.
        num_threads (int): Threads of the decoder. Defaults to 1.
        **kwargs: Arguments of another backend.
    """

    def _get_video_reader(self, filename: str) -> object:
        if self.io_backend != 'disk':
            return super()._get_video_reader(filename)
        import decord
        if not osp.isfile(filename):
            raise FileNotFoundError(filename)
        return decord.VideoReader(filename, num_threads=self.num_threads)

    def transform(self, results: dict) -> dict:
        """Open ``results['filename']``."""
        results = super().transform(results)
        if results['total_frames'] < 1:
            raise OSError('the video has no frames')
        return results
