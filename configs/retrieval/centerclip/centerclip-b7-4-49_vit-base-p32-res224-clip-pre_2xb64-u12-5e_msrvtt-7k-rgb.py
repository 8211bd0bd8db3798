_base_ = '../clip4clip/clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-7k-rgb.py'

# B7-4,49: after 7 blocks, 12 frames to 4 segments of 49 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=8,
            num_segments=4,
            num_centers=49)
    ]))
