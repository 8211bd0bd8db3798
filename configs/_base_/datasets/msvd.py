_base_ = 'msrvtt-9k.py'

# As prepared by tools/data/msvd/prepare_msvd.py; 40 captions a video.
data_root = 'data/video_retrieval/msvd'
train_dataloader = dict(dataset=dict(ann_file='train.json', data_root=data_root))
val_dataloader = dict(dataset=dict(ann_file='val.json', data_root=data_root))
test_dataloader = dict(dataset=dict(ann_file='test.json', data_root=data_root))
