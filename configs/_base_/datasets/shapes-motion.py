_base_ = 'shapes.py'

# As rendered by tools/data/shapes/prepare_shapes.py --only-motion.
data_root = 'data/shapes_motion'

train_pipeline = _base_.train_pipeline
test_pipeline = _base_.test_pipeline
for pipeline in (train_pipeline, test_pipeline):
    pipeline[1]['clip_len'] = 4
del pipeline
# The same frames each time: their places are what there is to learn.
train_pipeline[1]['test_mode'] = True

train_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(
    dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
