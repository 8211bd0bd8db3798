_base_ = 'shapes.py'

# As rendered by tools/data/shapes/prepare_shapes.py --hard.
data_root = 'data/shapes_hard'

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
