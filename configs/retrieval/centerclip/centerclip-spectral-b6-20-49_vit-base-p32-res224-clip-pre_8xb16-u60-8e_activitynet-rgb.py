_base_ = '../clip4clip/clip4clip_vit-base-p32-res224-clip-pre_8xb16-u60-8e_activitynet-rgb.py'

# B6-20,49: after 6 blocks, 60 frames to 20 segments of 49 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='SpectralTokenClustering',
            before_block=7,
            num_segments=20,
            num_centers=49)
    ]))
