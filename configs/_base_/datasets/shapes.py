_base_ = 'msrvtt-9k.py'

# As rendered by tools/data/shapes/prepare_shapes.py, in frames of 64 x 64.
data_root = 'data/shapes'

train_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=8, num_clips=1),
    dict(type='VideoDecode'),
    dict(type='OpenCLIPTokenize', context_length=32),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=8, num_clips=1, test_mode=True),
    *train_pipeline[2:]
]

train_dataloader = dict(
    batch_size=72,
    num_workers=1,
    dataset=dict(
        ann_file='train.json', data_root=data_root, captions='random',
        pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=72,
    num_workers=1,
    dataset=dict(
        ann_file='test.json', data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
