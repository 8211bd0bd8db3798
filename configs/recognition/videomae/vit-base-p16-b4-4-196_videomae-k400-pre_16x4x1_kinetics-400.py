_base_ = 'mmaction::recognition/videomae/vit-base-p16_videomae-k400-pre_16x4x1_kinetics-400.py'
custom_imports = dict(imports=['mmaction_centerclip'], allow_failed_imports=False)

# From 8 x 196 tokens to 4 x 196, after four of twelve blocks.
model = dict(
    backbone=dict(
        type='VideoMAETower',
        necks=[
            dict(type='TokenClustering', before_block=5, num_segments=4,
                 num_centers=196)
        ]))
