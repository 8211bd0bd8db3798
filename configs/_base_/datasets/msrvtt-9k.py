# As prepared by tools/data/msrvtt/prepare_msrvtt.py. Training samples are
# the pairs, every caption of every video, as in the paper.
data_root = 'data/video_retrieval/msrvtt'

train_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFramesWithMask', clip_len=12),
    dict(type='VideoDecode'),
    dict(type='OpenCLIPResize'),
    dict(type='OpenCLIPTokenize', context_length=32),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask'))
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFramesWithMask', clip_len=12, test_mode=True),
    *train_pipeline[2:]
]

train_dataloader = dict(
    batch_size=64,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='VideoTextRetrievalDataset',
        ann_file='train_9k.json',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        captions='all',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='VideoTextRetrievalDataset',
        ann_file='test_JSFUSION.json',
        data_root=data_root,
        data_prefix=dict(video='videos'),
        pipeline=test_pipeline,
        test_mode=True))
test_dataloader = val_dataloader

val_evaluator = dict(type='VideoTextRetrievalMetric')
test_evaluator = val_evaluator
