_base_ = '../clip4clip/clip4clip_vit-base-p16-res224-pe-core-pre_8xb16-u12-5e_msrvtt-9k-rgb.py'

# B6-4,160: after 6 blocks, 12 frames to 4 segments of 160 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=7,
            num_segments=4,
            num_centers=160)
    ]))
