_base_ = 'activitynet.py'

# As prepared by tools/data/didemo/prepare_didemo.py: a video's descriptions
# joined to one paragraph. As CLIP4Clip: a frame a second, at most 64 of them,
# and 64 tokens.
data_root = 'data/video_retrieval/didemo'

train_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFramesWithMask', clip_len=64, frames_per_second=1),
    dict(type='VideoDecode'),
    dict(type='OpenCLIPResize'),
    dict(type='OpenCLIPTokenize', context_length=64),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask'))
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFramesWithMask', clip_len=64, frames_per_second=1,
         test_mode=True),
    *train_pipeline[2:]
]

train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        ann_file='val.json', data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(
        ann_file='test.json', data_root=data_root, pipeline=test_pipeline))
