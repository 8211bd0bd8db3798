_base_ = 'msrvtt-9k.py'

# As prepared by tools/data/activitynet/prepare_activitynet.py: a video's
# sentences joined to one paragraph. 60 frames and 77 tokens.
data_root = 'data/video_retrieval/activitynet'

train_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFramesWithMask', clip_len=60),
    dict(type='VideoDecode'),
    dict(type='OpenCLIPResize'),
    dict(type='OpenCLIPTokenize', context_length=77),
    dict(type='FormatShape', input_format='NCHW'),
    dict(type='PackActionInputs', collect_keys=('imgs', 'text', 'frame_mask'))
]
test_pipeline = [
    dict(type='VideoInit'),
    dict(type='SampleFramesWithMask', clip_len=60, test_mode=True),
    *train_pipeline[2:]
]

train_dataloader = dict(
    batch_size=16,
    dataset=dict(
        metainfo=dict(paragraph=True),
        ann_file='train.json', data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    batch_size=4,
    dataset=dict(
        metainfo=dict(paragraph=True),
        ann_file='val_1.json', data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
