_base_ = '../clip4clip/clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-7k-rgb.py'

# B6-4,49 by the distance of order 1: after 6 blocks, 12 frames to 4 segments
# of 49 tokens.
model = dict(
    backbone=dict(necks=[
        dict(
            type='TokenClustering',
            before_block=7,
            num_segments=4,
            num_centers=49,
            p=1)
    ]))
