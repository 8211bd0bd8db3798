_base_ = 'shapes.py'

# As rendered by tools/data/shapes/prepare_shapes.py --long: half of the frames.
data_root = 'data/shapes_long'

train_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=60, num_clips=1),
    dict(type='VideoDecode'),
    dict(type='OpenCLIPTokenize', context_length=32),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=60, num_clips=1, test_mode=True),
    *train_pipeline[2:]
]

train_dataloader = dict(
    batch_size=36,
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=36,
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
