_base_ = '../clip4clip/clip4clip-lora_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py'

# 12 frames become 6, 3 and 1 clips, in front of the blocks 9, 10 and 11.
model = dict(
    backbone=dict(necks=[
        dict(type='TokenMerging', before_block=[1, 2, 3, 4, 5, 6, 7, 8], r=2),
        dict(type='TemporalTokenMerging', before_block=[9, 10, 11],
             num_segments=[6, 3, 1], num_clips=[12, 6, 3], r=0.3),
        dict(type='TokenMerging', before_block=[9, 10, 11, 12], r=0.1)
    ]))
# Embeddings of clips learn as fast as the adapters.
optim_wrapper = dict(paramwise_cfg=dict(clip_lr_mult=1.))
