_base_ = 'clip4clip_vit-tiny-p16-res64_1xb72-u4-30e_shapes-motion-rgb.py'

# Blocks like those of the text tower; positions that count from the start.
model = dict(
    head=dict(
        type='SequentialTransformerHead',
        embed_dims=128,
        num_layers=2,
        num_heads=4,
        init_position_std=0.5,
        quick_gelu=False))
