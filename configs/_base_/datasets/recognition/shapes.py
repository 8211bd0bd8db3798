# As rendered by tools/data/shapes/prepare_shapes.py, in frames of 64 x 64. The
# class is the color; *_shape.txt and *_motion.txt are there too.
data_root = 'data/shapes'

train_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=8, num_clips=1),
    dict(type='VideoDecode'),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs')
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=8, num_clips=1, test_mode=True),
    *train_pipeline[2:]
]

train_dataloader = dict(
    batch_size=72,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='VideoDataset',
        ann_file='train_color.txt',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=72,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoDataset',
        ann_file='test_color.txt',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        pipeline=test_pipeline,
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = dict(
    type='AccMetric',
    metric_list=('top_k_accuracy', ),
    metric_options=dict(top_k_accuracy=dict(topk=(1, ))))
test_evaluator = val_evaluator
