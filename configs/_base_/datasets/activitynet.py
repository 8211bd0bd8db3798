# As prepared by tools/data/activitynet/prepare_activitynet.py: a video's
# sentences joined to one paragraph.
data_root = 'data/video_retrieval/activitynet'

train_pipeline = [
    dict(type='DecordInitFromFile'),
    dict(type='UniformSample', clip_len=60, num_clips=1),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(-1, 224), interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='OpenCLIPTokenize', context_length=77),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]
test_pipeline = [
    dict(type='DecordInitFromFile'),
    dict(type='UniformSample', clip_len=60, num_clips=1, test_mode=True),
    *train_pipeline[2:]
]

train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='VideoTextRetrievalDataset',
        ann_file='train.json',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        captions='all',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=4,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoTextRetrievalDataset',
        ann_file='val_1.json',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        pipeline=test_pipeline,
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = dict(type='VideoTextRetrievalMetric')
test_evaluator = val_evaluator
