model = dict(
    type='VideoTextRetriever',
    arch='ViT-B-32-quickgelu',
    pretrained='openai',
    frozen_layers=0,
    backbone=dict(type='CLIPVisionTower'),
    text_backbone=dict(type='CLIPTextTower', context_length=32),
    head=dict(type='MeanPoolingHead'),
    data_preprocessor=dict(
        type='VideoTextDataPreprocessor',
        mean=[122.771, 116.746, 104.093],
        std=[68.500, 66.632, 70.323],
        format_shape='NCHW'))
