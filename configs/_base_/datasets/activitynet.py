_base_ = 'msrvtt-9k.py'

# As prepared by tools/data/activitynet/prepare_activitynet.py: a video's
# sentences joined to one paragraph. 60 frames and 77 tokens.
data_root = 'data/video_retrieval/activitynet'

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
for pipeline in (train_pipeline, test_pipeline):
    pipeline[1]['clip_len'] = 60
    pipeline[6]['context_length'] = 77
del pipeline

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
