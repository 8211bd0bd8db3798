_base_ = 'activitynet.py'

# As prepared by tools/data/didemo/prepare_didemo.py: a video's descriptions
# joined to one paragraph. 64 frames and 64 tokens, as CLIP4Clip.
data_root = 'data/video_retrieval/didemo'

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
for pipeline in (train_pipeline, test_pipeline):
    pipeline[1]['clip_len'] = 64
    pipeline[6]['context_length'] = 64
del pipeline

train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(
        ann_file='val.json', data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(
        ann_file='test.json', data_root=data_root, pipeline=test_pipeline))
