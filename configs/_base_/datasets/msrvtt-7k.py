_base_ = 'msrvtt-9k.py'

train_dataloader = dict(dataset=dict(ann_file='train_7k.json'))
