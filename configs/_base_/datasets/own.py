_base_ = 'shapes.py'

# Videos of any size, as tools/data/own/prepare_own.py lists them.
data_root = 'my_data'

train_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=8, num_clips=1),
    dict(type='VideoDecode'),
    dict(type='OpenCLIPResize'),
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
    batch_size=16,
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=16,
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
