_base_ = 'mmaction::recognition/timesformer/timesformer_spaceOnly_8xb8-8x32x1-15e_kinetics400-rgb.py'
custom_imports = dict(imports=['mmaction_centerclip'], allow_failed_imports=False)

# The settings of the zoo's TimeSformer, which is a transformer of frames too.
model = dict(
    backbone=dict(
        _delete_=True,
        type='VideoTowerBackbone',
        tower=dict(type='CLIPVisionTower', arch='ViT-B-16-quickgelu'),
        pretrained='openai'),
    cls_head=dict(in_channels=512),
    data_preprocessor=dict(
        mean=[122.771, 116.746, 104.093], std=[68.500, 66.632, 70.323]))
