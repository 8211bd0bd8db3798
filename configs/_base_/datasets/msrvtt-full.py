_base_ = 'msrvtt-7k.py'

# The test split of the data set itself, 2,990 videos of 20 captions, as
# prepared by tools/data/msrvtt/prepare_msrvtt.py.
val_dataloader = dict(dataset=dict(ann_file='test_full.json'))
test_dataloader = val_dataloader
