_base_ = '../clip4clip/clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_lsmdc-rgb.py'

# B6-3,49: after 6 blocks, 12 frames to 3 segments of 49 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=7,
            num_segments=3,
            num_centers=49)
    ]))
