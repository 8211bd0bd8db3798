"""Read and make up what MMEngine's LoggerHook and runner leave in a work dir."""
import json

from mmengine.config import Config
from mmengine.visualization import LocalVisBackend

TIME = '20261122_224940'
METRICS = [f'{d}/R{k}' for d in ('t2v', 'v2t') for k in (1, 5, 10)]


def evaluations_of(work_dir, which='val'):
    """The metrics of each validation, or test, by name, oldest first."""
    pattern = '*/vis_data/scalars.json' if which == 'val' else '*/[0-9]*.json'
    lines = [json.loads(line) for path in sorted(work_dir.glob(pattern))
             for line in path.read_text().splitlines()]
    found = [{key.removeprefix('retrieval/'): value for key, value in line.items()
              if key.startswith('retrieval/')} for line in lines]
    return list(filter(None, found))


def evaluation(recall, **others):
    """The metrics of an evaluation, with the timings that go along."""
    metrics = {f'{d}/R{k}': recall + i + 10 * (d == 'v2t')
               for d in ('t2v', 'v2t') for i, k in enumerate((1, 5, 10))}
    metrics = {'t2v/MdR': 100 - recall, **metrics, **others}
    return {**{f'retrieval/{k}': v for k, v in metrics.items()},
            'data_time': .4, 'time': 1.}


def write_start(work_dir, recalls, time=TIME, config='centerclip_tiny', test=None):
    """Write what one start of a tool leaves in a work dir."""
    start = work_dir / time
    backend = LocalVisBackend(str(start / 'vis_data'))
    backend.add_config(Config(dict(model=dict(type='A'))))
    (work_dir / f'{config}.py').write_text('model = dict()')
    for epoch, recall in enumerate(recalls, 1):
        backend.add_scalars(
            dict(lr=1e-3, loss=3., epoch=epoch, iter=10 * epoch),
            step=10 * epoch, file_path=f'{time}.json')
        backend.add_scalars(
            evaluation(recall), step=epoch, file_path=f'{time}.json')
    if test is not None:
        (start / f'{time}.json').write_text(json.dumps(evaluation(test)))
    return work_dir
