"""All figures of an evaluation, plain and re-ranked, and its protocol in words."""
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from mmengine.registry import Registry

from mmaction_centerclip.errors import InputError, check_choice, check_positive_int
from mmaction_centerclip.utils.option_types import check_types
from mmaction_centerclip.utils.tables import format_table

from .feature_file import RetrievalFeatures
from .functional import TOPK
from .metrics import RETRIEVAL_METRICS
from .rerankings import RERANKINGS
from .scores import Scorer, Scores

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
"""Title of each protocol, and how it counts, as in CLIP4Clip (arXiv 2104.08860)."""


@check_types
class RetrievalEvaluation:
    """Compute recalls and ranks, further metrics, and those of re-rankings.

    ``more_metrics`` and ``rerank`` list registered names, or dicts with the name as
    ``type`` and options. All similarities are held at once only where one needs them.
    """

    def __init__(self, topk: Sequence[int] = TOPK,
                 more_metrics: Sequence[str | dict] = (),
                 rerank: Sequence[str | dict] = ()) -> None:
        if not topk:
            raise InputError(f'topk must be a list of positive integers, got {topk!r}')
        self.topk = tuple(check_positive_int('topk', k) for k in topk)
        self.metrics = build_registered('more_metrics', RETRIEVAL_METRICS, more_metrics)
        self.rerankings = build_registered('rerank', RERANKINGS, rerank)

    def __call__(self, features: RetrievalFeatures, scorer: Scorer | None = None,
                 report: Callable[[str], object] | None = None) -> dict[str, float]:
        """Return the figures by name, a re-ranking's such as ``qb_norm/t2v/R1``.

        ``report`` gets the protocol and a table, even if a re-ranking fails.
        """
        rows: dict[str, dict[str, float]] = {}
        try:
            for name, scores in self._rows(Scores(features, scorer)):
                rows[name] = self._figures(scores)
        finally:
            if rows and report is not None:
                protocol = describe_protocol(features.captions_per_video(),
                                             features.paragraph, self.metrics)
                report(f'{protocol}\n{format_rows(rows)}')
        return {name if row == 'plain' else f'{row}/{name}': value
                for row, figures in rows.items() for name, value in figures.items()}

    def metric_names(self) -> set[str]:
        """Return the names of the figures, as a small evaluation gives them."""
        small = RetrievalFeatures({}, {}, torch.arange(2), 'ab', 'ab',
                                  similarity=torch.eye(2))
        return {f'{row}{name}' for name in self._figures(Scores(small))
                for row in ('', *(f'{row}/' for row in self.rerankings))}

    def _rows(self, scores: Scores) -> Iterator[tuple[str, Scores]]:
        """Yield the plain scores, then those of each re-ranking."""
        if self.rerankings or any(metric.needs_matrix
                                  for metric in self.metrics.values()):
            _ = scores.matrices  # All at once, before they are counted in chunks.
        yield 'plain', scores
        for name, reranking in self.rerankings.items():
            matrix = scores.matrices['t2v']
            if reranking.needs_cosines and matrix.abs().max() > 1 + 1e-3:
                raise InputError(
                    f'{name} is for cosine similarities, from -1 to 1; this head has '
                    f'them from {matrix.min():.3g} to {matrix.max():.3g}')
            yield name, reranking(scores)

    def _figures(self, scores: Scores) -> dict[str, float]:
        figures = scores.figures(self.topk)
        for metric in self.metrics.values():
            figures.update(metric(scores))
        return figures


def evaluate_features(
        features: RetrievalFeatures, scorer: Scorer | None = None,
        report: Callable[[str], object] | None = None, **options) -> dict[str, float]:
    """Evaluate features, with the options of a :class:`RetrievalEvaluation`."""
    return RetrievalEvaluation(**options)(features, scorer, report)


def format_rows(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Format the figures of each row, the plain ones first, as a table."""
    titles = list(next(iter(rows.values())))
    return format_table(
        ['', *(title.replace('/', ' ') for title in titles)],
        [[name, *(f'{figures[title]:.1f}' if title in figures else '-'
                  for title in titles)] for name, figures in rows.items()])


def protocol_of(counts: Sequence[int], paragraph: bool = False) -> str:
    """Return the key in ``PROTOCOLS``, by the captions or paragraphs of each video."""
    if not any(counts) or min(counts) < 0:
        raise InputError('counts must be of captions, not negative and of at least one '
                         f'video above 0, got {list(counts)[:10]}')
    several = max(counts) > 1
    if paragraph:
        return 'paragraphs' if several else 'paragraph'
    return 'multiple' if several else 'single'


def describe_protocol(counts: Sequence[int], paragraph: bool = False,
                      more_metrics: Iterable[str] = ()) -> str:
    """Describe how an evaluation counts, and its metrics that count otherwise.

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


def build_registered(option: str, registry: Registry,
                     chosen: Sequence[str | dict]) -> dict:
    """Build what an option lists, by registered names only."""
    built = {}
    for given in chosen:
        options = dict(given) if isinstance(given, dict) else dict(type=given)
        name = check_choice(option, options.pop('type', None),
                            tuple(registry.module_dict))
        if name in built:
            raise InputError(f'{option}: {name} may stand once, got {chosen!r}')
        signature = inspect.signature(registry.module_dict[name])
        try:
            signature.bind(**options)
        except TypeError as error:
            raise InputError(f'{name}: {error}; its options are '
                             f'{tuple(signature.parameters)}') from None
        built[name] = registry.module_dict[name](**options)
    return built
