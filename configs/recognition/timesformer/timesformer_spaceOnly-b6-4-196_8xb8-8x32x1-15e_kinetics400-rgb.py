_base_ = 'mmaction::recognition/timesformer/timesformer_spaceOnly_8xb8-8x32x1-15e_kinetics400-rgb.py'
custom_imports = dict(imports=['mmaction_centerclip'], allow_failed_imports=False)

# From 8 x 196 tokens to 4 x 196, after six of twelve blocks.
model = dict(
    backbone=dict(
        type='TimeSformerTower',
        necks=[
            dict(type='TokenClustering', before_block=7, num_segments=4,
                 num_centers=196)
        ]))
