_base_ = [
    '../../_base_/datasets/recognition/shapes.py',
    '../../_base_/schedules/recognition_20e.py',
    '../../_base_/recognition_runtime.py',
]

# Small enough to train from scratch on two CPU cores in minutes: 64 tokens.
model = dict(
    type='Recognizer3D',
    backbone=dict(
        type='VideoMAETower', img_size=64, patch_size=16, embed_dims=128, depth=4,
        num_heads=4, num_frames=8),
    cls_head=dict(
        type='TimeSformerHead', num_classes=8, in_channels=128, average_clips='prob'),
    data_preprocessor=dict(
        type='ActionDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        format_shape='NCTHW'))
