_base_ = 'shapes.py'

# As rendered by tools/data/shapes/prepare_shapes.py --only-motion.
data_root = 'data/shapes_motion'

# The same frames in training too: their places are what there is to learn.
train_pipeline = test_pipeline = [
    dict(type='VideoInit'),
    dict(type='UniformSample', clip_len=4, num_clips=1, test_mode=True),
    dict(type='VideoDecode'),
    dict(type='OpenCLIPTokenize', context_length=32),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text'))
]

train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
