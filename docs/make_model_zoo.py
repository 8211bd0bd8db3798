#!/usr/bin/env python
"""Write configs/retrieval/README.md, the model zoo, from the metafiles beside it."""
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
ZOO = ROOT / 'configs' / 'retrieval'
HEAD = """# Model zoo

Made by `docs/make_model_zoo.py` from the `metafile.yml` of each folder. **There are
no weights to download**: a row with recalls was trained with this project, on the
shapes data that it renders; all others wait for somebody with the data and GPUs. The
papers' own figures for them are in [centerclip](centerclip/README.md),
[clip4clip](clip4clip/README.md) and [tempme](tempme/README.md). CenterCLIP's configs
are named `b6-4-49`: after 6 blocks, into 4 segments of 49 centers. GMACs are the vision
tower's for one video.

| config | tower | data | epochs | GMACs | parameters | t2v R@1 | v2t R@1 |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def recall(model: dict, task: str) -> str:
    """Return a model's R@1 of a direction, or a dash."""
    found = [result['Metrics']['Recall@1'] for result in model.get('Results', ())
             if result['Task'].startswith(task)]
    return f'{found[0]:.1f}' if found else '–'


def zoo_page() -> str:
    """Return the page."""
    rows = []
    for path in sorted(ZOO.glob('*/metafile.yml'), reverse=True):
        for model in yaml.safe_load(path.read_text())['Models']:
            meta, config = model['Metadata'], Path(model['Config'])
            pages = [f'[{config.stem}]({config.relative_to("configs/retrieval")})',
                     meta['Architecture'], meta['Training Data'], str(meta['Epochs']),
                     f'{meta["FLOPs"] / 1e9:.4g}', f'{meta["Parameters"] / 1e6:.1f} M',
                     recall(model, 'Text-to-Video'), recall(model, 'Video-to-Text')]
            rows.append('| ' + ' | '.join(pages) + ' |\n')
    return HEAD + ''.join(rows)


if __name__ == '__main__':
    (ZOO / 'README.md').write_text(zoo_page(), encoding='utf-8')
