_base_ = 'shapes.py'

# As rendered by tools/data/shapes/prepare_shapes.py --moving.
data_root = 'data/shapes_moving'

train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
