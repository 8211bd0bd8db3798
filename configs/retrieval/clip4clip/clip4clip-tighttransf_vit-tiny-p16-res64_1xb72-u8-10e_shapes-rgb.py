_base_ = 'clip4clip_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py'

# Blocks like those of the text tower, which they start from.
model = dict(
    head=dict(
        type='TightTransformerHead',
        embed_dims=128,
        num_layers=1,
        num_heads=4,
        quick_gelu=False))
