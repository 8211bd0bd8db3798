_base_ = '../clip4clip/clip4clip_vit-base-p32-res224-clip-pre_8xb16-u30-8e_activitynet-rgb.py'

# B6-15,49: after 6 blocks, 30 frames to 15 segments of 49 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=7,
            num_segments=15,
            num_centers=49)
    ]))
