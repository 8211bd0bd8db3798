"""Made-up work dirs, in the format of MMEngine's LoggerHook and runner."""
import json

from mmengine.config import Config
from mmengine.visualization import LocalVisBackend

TIME = '20261122_224940'
METRICS = [f'{d}/R{k}' for d in ('t2v', 'v2t') for k in (1, 5, 10)]


def evaluation(recall, **others):
    """The metrics of an evaluation, with the timings that go along."""
    metrics = {f'{d}/R{k}': recall + i + 10 * (d == 'v2t')
               for d in ('t2v', 'v2t') for i, k in enumerate((1, 5, 10))}
    metrics = {'t2v/MdR': 100 - recall, **metrics, **others}
    return {**{f'retrieval/{k}': v for k, v in metrics.items()},
            'data_time': .4, 'time': 1.}


def data(name):
    return dict(test_dataloader=dict(batch_size=4, dataset=dict(ann_file=name)))


def write_start(work_dir, recalls, seed=0, time=TIME, config='centerclip_tiny',
                test=None, cfg=None):
    """Write what one start of a tool leaves in a work dir."""
    randomness = dict(seed=seed) if seed is not None else {}
    cfg = Config(dict(model=dict(type='A', stages=[1, 2]), randomness=randomness,
                      work_dir=work_dir.name, **(cfg or {})))
    start = work_dir / time
    backend = LocalVisBackend(str(start / 'vis_data'))
    backend.add_config(cfg)
    cfg.dump(str(work_dir / f'{config}.py'))
    for epoch, recall in enumerate(recalls, 1):
        backend.add_scalars(
            dict(lr=1e-3, loss=3., epoch=epoch, iter=10 * epoch),
            step=10 * epoch, file_path=f'{time}.json')
        backend.add_scalars(
            evaluation(recall), step=epoch, file_path=f'{time}.json')
    if test is not None:
        (start / f'{time}.json').write_text(json.dumps(evaluation(test)))
    return work_dir
