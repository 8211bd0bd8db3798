#!/usr/bin/env python
"""Write configs/retrieval/README.md, the model zoo, from the metafiles beside it."""
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
ZOO = ROOT / 'configs' / 'retrieval'
SHAPES = 'Shapes'
DATA = {
    'MSRVTT-9k': 'MSR-VTT, trained on 9k and tested on 1k-A',
    'MSRVTT-7k': 'MSR-VTT, trained on 7k and tested on 1k-A',
    'MSRVTT-full': 'MSR-VTT, trained on 7k and tested on all 2,990 test videos',
    'MSVD': 'MSVD', 'LSMDC': 'LSMDC',
    'ActivityNet': 'ActivityNet, paragraphs', 'DiDeMo': 'DiDeMo, paragraphs',
    'Own': 'Your own videos', SHAPES: 'Shapes, which this project renders'}
HEAD = """# Model zoo

**There are no weights to download.** Rows with recalls were trained with this
project, on the shapes data that it renders; all others wait for somebody with the
data and GPUs. The papers' own figures for them are in
[centerclip](centerclip/README.md), [clip4clip](clip4clip/README.md) and
[tempme](tempme/README.md).

To begin with, take `centerclip-b6-4-49_vit-base-p32-...` of your data and CLIP4Clip
beside it; other towers are [a line of a
config](../../docs/models.md#which-tower-today). CenterCLIP's configs are named
`b6-4-49`: after 6 blocks, into 4 segments of 49 centers. GMACs are the vision
tower's for one video. `docs/make_model_zoo.py` makes this page from the
`metafile.yml` of each folder.
"""


def data_of(model: dict) -> str:
    """Return the data of a model, all kinds of shapes being one."""
    if '_msrvtt-full-' in model['Name']:  # which tells the test, too
        return 'MSRVTT-full'
    data = model['Metadata']['Training Data']
    return SHAPES if data.startswith(SHAPES) else data


def recall(model: dict, task: str) -> str:
    """Return a model's R@1 of a direction, or a dash."""
    found = [result['Metrics']['Recall@1'] for result in model.get('Results', ())
             if result['Task'].startswith(task)]
    return f'{found[0]:.1f}' if found else '–'


def table(models: list[dict], with_recalls: bool) -> str:
    """Return the rows of some models."""
    titles = ['config', 'tower', 'epochs', 'GMACs', 'parameters']
    rows = [titles + ['t2v R@1', 'v2t R@1'] * with_recalls]
    rows.append(['---'] * len(rows[0]))
    for model in models:
        meta, config = model['Metadata'], Path(model['Config'])
        row = [f'[{config.stem}]({config.relative_to("configs/retrieval")})',
               meta['Architecture'], str(meta['Epochs']), f'{meta["FLOPs"] / 1e9:.4g}',
               f'{meta["Parameters"] / 1e6:.1f} M']
        rows.append(row + [recall(model, 'Text-to-Video'), recall(
            model, 'Video-to-Text')] * with_recalls)
    return ''.join(f'| {" | ".join(row)} |\n' for row in rows)


def zoo_page() -> str:
    """Return the page."""
    models = [model for path in sorted(ZOO.glob('*/metafile.yml'))
              for model in yaml.safe_load(path.read_text())['Models']]
    unknown = {*map(data_of, models)} - {*DATA}
    if unknown:
        raise ValueError(f'Training Data must be one of {[*DATA]}, got {unknown}')
    parts = [HEAD]
    for data, title in DATA.items():
        rows = [model for model in models if data_of(model) == data]
        parts.append(f'## {title}\n\n{table(rows, data == SHAPES)}')
    return '\n'.join(parts)


if __name__ == '__main__':
    (ZOO / 'README.md').write_text(zoo_page(), encoding='utf-8')
