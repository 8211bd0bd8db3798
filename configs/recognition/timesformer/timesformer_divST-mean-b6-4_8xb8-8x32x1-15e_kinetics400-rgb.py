_base_ = 'mmaction::recognition/timesformer/timesformer_divST_8xb8-8x32x1-15e_kinetics400-rgb.py'
custom_imports = dict(imports=['mmaction_centerclip'], allow_failed_imports=False)

# From 8 x 196 tokens to 4 x 196, by their mean: divided attention needs every
# patch at its place.
model = dict(
    backbone=dict(
        type='TimeSformerTower',
        necks=[dict(type='SegmentMeanPooling', before_block=7, num_segments=4)]))
