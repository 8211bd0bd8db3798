_base_ = '../clip4clip/clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msvd-rgb.py'

# B6-6,49: after 6 blocks, 12 frames to 6 segments of 49 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='SpectralTokenClustering',
            before_block=7,
            num_segments=6,
            num_centers=49)
    ]))
