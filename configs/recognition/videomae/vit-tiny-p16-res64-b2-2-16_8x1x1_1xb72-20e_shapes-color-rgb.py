_base_ = 'vit-tiny-p16-res64_8x1x1_1xb72-20e_shapes-color-rgb.py'

# From 4 x 16 tokens to 2 x 16, after two of four blocks.
model = dict(
    backbone=dict(necks=[
        dict(type='TokenClustering', before_block=3, num_segments=2, num_centers=16)
    ]))
