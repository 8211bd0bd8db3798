"""Write the failures of an evaluation as a page that needs nothing else."""
import base64
import html
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mmaction_centerclip.datasets.transforms import DecodingError
from mmaction_centerclip.evaluation import RetrievalFeatures

from .failures import Confusion, Failure
from .film_strips import VideoFolder, film_strip
from .result_sheets import Hit, result_sheet

__all__ = ['result_page']

# No page may fetch anything for it, whatever a caption holds.
_PAGE = '''<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 16px/1.4 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
img {{ max-width: 100%; height: auto }}
section {{ border-top: 1px solid #999 }}
pre {{ white-space: pre-wrap }}
</style>
</head>
<body>
<h1>{title}</h1>
<pre>{summary}</pre>
{parts}
</body>
</html>
'''


def result_page(title: str, summary: str, features: RetrievalFeatures,
                failures: Sequence[Failure], confusions: Sequence[Confusion],
                folder: VideoFolder, frames: int = 5) -> str:
    """Write a page of HTML with film strips, without outside resources.

    Captions and names are shown as the text that they are.

    Args:
        title (str): Such as the name of the file of features.
        summary (str): Figures of the evaluation.
        features (RetrievalFeatures): With the captions and names, and with the
            ``similarity`` of all pairs.
        failures (Sequence[Failure]): See :func:`worst_queries`.
        confusions (Sequence[Confusion]): See :func:`confusable_captions`.
        folder (VideoFolder): Where the videos are. One that cannot be read is
            shown by the reason why.
        frames (int): Of a film strip. Defaults to 5.
    """
    strips: dict[int, tuple[np.ndarray | None, str]] = {}

    def hit(rank: str, text: int, video: int) -> Hit:
        name = features.filenames[video]
        if video not in strips:
            strips[video] = _read(folder, name, frames)
        score = features.similarity[text, video].item()
        is_right = video == features.video_of_text[text].item()
        return Hit(rank, folder.relative(name), score, is_right, *strips[video])

    parts = ['<h2>Worst queries</h2>']
    parts += [_failure(failure, features, hit) for failure in failures]
    parts += ['<h2>Confusable captions</h2>']
    parts += [_confusion(pair, features, hit) for pair in confusions]
    if not failures:
        parts.append('<p>Every caption finds its own video first.</p>')
    return _PAGE.format(title=_text(title), summary=_text(summary),
                        parts='\n'.join(parts))


def _read(folder: VideoFolder, name: str,
          frames: int) -> tuple[np.ndarray | None, str]:
    """Read a video's film strip, or say why there is none."""
    try:
        return film_strip(folder.path(name), frames), ''
    except DecodingError as error:
        return None, error.reason


def _failure(failure: Failure, features: RetrievalFeatures,
             hit: Callable[[str, int, int], Hit]) -> str:
    """Write a caption, what it found, and its own video if that is not there."""
    text, own = failure.text, features.video_of_text[failure.text].item()
    hits = [hit(str(i), text, video) for i, video in enumerate(failure.videos, 1)]
    if own not in failure.videos:
        hits.append(hit(f'{failure.rank:g}', text, own))
    return (f'<section><h3>{_text(features.captions[text])}</h3>\n'
            f'<p>Rank {failure.rank:g} of {len(features.filenames)}</p>\n'
            f'{_sheet(hits)}</section>')


def _confusion(pair: Confusion, features: RetrievalFeatures,
               hit: Callable[[str, int, int], Hit]) -> str:
    """Write two captions, and the similarities of the first to both videos."""
    first, second = (_text(features.captions[text]) for text in pair.texts)
    hits = [hit(side, pair.texts[0], video) for side, video in zip('AB', pair.videos)]
    return (f'<section><h3>A. {first}<br>B. {second}</h3>\n'
            f'<p>Difference of their similarities: {pair.difference:.3f}</p>\n'
            f'{_sheet(hits)}</section>')


def _sheet(hits: Sequence[Hit]) -> str:
    """Embed a result sheet, whose text is its alternative."""
    done, content = cv2.imencode(
        '.jpg', result_sheet(hits)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    words = '; '.join(
        f'{hit.rank}. {hit.name} {hit.score:.3f}{" right" * hit.is_right}'
        f'{f" ({hit.reason})" * (hit.strip is None)}' for hit in hits)
    return (f'<img alt="{_text(words)}" src="data:image/jpeg;base64,'
            f'{base64.b64encode(content.tobytes()).decode()}">')


def _text(text: str) -> str:
    """Escape a text; what UTF-8 cannot hold, by its number."""
    return html.escape(text.encode('utf-8', 'backslashreplace').decode())
