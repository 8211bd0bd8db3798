_base_ = '../clip4clip/clip4clip_vit-base-p16-res224-clip-pre_32xb4-u60-8e_activitynet-rgb.py'

# B6-15,160: after 6 blocks, 60 frames to 15 segments of 160 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='SpectralTokenClustering',
            before_block=7,
            num_segments=15,
            num_centers=160)
    ]))
