_base_ = 'clip4clip_vit-tiny-p16-res64_1xb72-u4-30e_shapes-motion-rgb.py'

# Blocks like those of the text tower.
model = dict(
    head=dict(
        type='SequentialTransformerHead',
        embed_dims=128,
        num_layers=2,
        num_heads=4,
        quick_gelu=False))
