_base_ = 'clip4clip_vit-tiny-p16-res64_1xb72-u4-30e_shapes-motion-rgb.py'

model = dict(head=dict(type='SequentialTransformerHead', embed_dims=128, num_layers=2))
