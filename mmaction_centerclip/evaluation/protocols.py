"""Protocols of evaluations, in words."""
from collections.abc import Iterable, Sequence

from mmaction_centerclip.errors import InputError

from .registry import RETRIEVAL_METRICS

# The title of each protocol, and how it counts, as in CLIP4Clip (arXiv
# 2104.08860).
PROTOCOLS = {
    'single': (
        'one caption per video (as MSR-VTT 1k-A and LSMDC)',
        'each caption ranks all videos, each video ranks all captions'),
    'multiple': (
        'several captions per video, all queries (as the MSVD test set with '
        '27,763 captions of 670 videos, and MSR-VTT full)',
        'text-to-video: each caption is a query that ranks all videos; '
        "video-to-text: each video ranks the videos' caption groups, a group "
        'scoring its best caption (CLIP4Clip, Sec. 4.3)'),
    'paragraph': (
        'paragraph retrieval (as ActivityNet and DiDeMo)',
        'all sentences of a video are joined into one query; each paragraph '
        'ranks all videos, each video ranks all paragraphs'),
    'paragraphs': (
        'paragraph retrieval with several paragraphs per video',
        'the sentences of each description are joined into one query that '
        "ranks all videos; video-to-text: each video ranks the videos' groups "
        'of paragraphs, a group scoring its best one'),
}


def protocol_of(counts: Sequence[int], paragraph: bool = False) -> str:
    """Return the key in ``PROTOCOLS`` of an evaluation.

    Args:
        counts (Sequence[int]): How many captions each video has; a paragraph
            counts once.
        paragraph (bool): Whether a caption is a paragraph, the sentences of a
            video joined. Defaults to False.
    """
    if not any(counts) or min(counts) < 0:
        raise InputError('counts must be of captions, not negative and of at least one '
                         f'video above 0, got {list(counts)[:10]}')
    several = max(counts) > 1
    if paragraph:
        return 'paragraphs' if several else 'paragraph'
    return 'multiple' if several else 'single'


def describe_protocol(counts: Sequence[int], paragraph: bool = False,
                      more_metrics: Iterable[str] = ()) -> str:
    """Describe the protocol of an evaluation, and what it counts, in a sentence or two.

    ``more_metrics`` are the names of further metrics, some of which count otherwise.

    Examples:
        >>> describe_protocol([1, 1]).split('; ')[0]
        'one caption per video (as MSR-VTT 1k-A and LSMDC): 2 captions, 2 videos'
    """
    title, rule = PROTOCOLS[protocol_of(counts, paragraph)]
    queries = _number(sum(counts), 'paragraph' if paragraph else 'caption')
    text = f'{title}: {queries}, {_number(len(counts), "video")}; {rule}'
    if max(counts) > 1:
        notes: dict[str, list[str]] = {}
        for name in more_metrics:
            note = RETRIEVAL_METRICS.module_dict[name].several_captions
            notes.setdefault(note, []).append(name)
        for note in filter(None, notes):
            text += f'; {" and ".join(notes[note])}, {note}'
    silent = sum(not count for count in counts)
    if silent:
        text += f'; without a caption and no query: {_number(silent, "video")}'
    return text


def _number(count: int, noun: str) -> str:
    return f'{count:,} {noun}' + 's' * (count != 1)
