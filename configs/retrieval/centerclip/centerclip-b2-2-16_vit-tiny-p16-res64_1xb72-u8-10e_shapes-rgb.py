_base_ = '../clip4clip/clip4clip_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py'

# B2-2,16: after 2 of 4 blocks, 8 frames to 2 segments of 16 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=3,
            num_segments=2,
            num_centers=16)
    ]))
