_base_ = '../clip4clip/clip4clip_vit-large-p14-res224-datacomp-pre_8xb16-u12-5e_msrvtt-9k-rgb.py'

# B12-4,192: after 12 blocks, 12 frames to 4 segments of 192 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=13,
            num_segments=4,
            num_centers=192)
    ]))
