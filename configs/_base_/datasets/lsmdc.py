_base_ = 'msrvtt-9k.py'

# As prepared by tools/data/lsmdc/prepare_lsmdc.py.
data_root = 'data/video_retrieval/lsmdc'
train_dataloader = dict(dataset=dict(ann_file='train.json', data_root=data_root))
val_dataloader = dict(dataset=dict(ann_file='test.json', data_root=data_root))
test_dataloader = val_dataloader
