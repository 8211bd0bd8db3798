_base_ = 'clip_vit-base-p16-res224-clip-pre_8xb8-8x32x1-15e_kinetics400-rgb.py'

# From 8 x 196 tokens to 4 x 160, after six of twelve blocks.
model = dict(
    backbone=dict(
        tower=dict(necks=[
            dict(type='TokenClustering', before_block=7, num_segments=4,
                 num_centers=160)
        ])))
