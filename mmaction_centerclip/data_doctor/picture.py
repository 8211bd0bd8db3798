"""Draw lengths, rates and sizes of videos, where matplotlib is installed."""
import base64
import io

__all__ = ['draw_figures']

TITLES = dict(duration='duration, s', rate='frames a second', frames='frames')


def draw_figures(figures: dict[str, list]) -> str | None:
    """Draw histograms, and the width over the height.

    Args:
        figures (dict[str, list]): ``duration``, ``rate`` and ``frames`` of
            videos, and ``size``, their widths and heights.

    Returns:
        str | None: A PNG picture as a ``data:`` URL; None without matplotlib or
        without videos.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return None
    if not figures['size']:
        return None
    figure = Figure(figsize=(11, 2.6), layout='constrained')
    *histograms, sizes = figure.subplots(1, 4)
    for axes, (name, title) in zip(histograms, TITLES.items()):
        axes.hist(figures[name], bins=30)
        axes.set_xlabel(title)
        axes.set_ylabel('videos')
    sizes.scatter(*zip(*figures['size']), s=8, alpha=0.5)
    sizes.set_xlabel('width')
    sizes.set_ylabel('height')
    file = io.BytesIO()
    figure.savefig(file, format='png', dpi=90)
    return f'data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}'
