model = dict(
    type='VideoTextRetriever',
    arch='ViT-B-32-quickgelu',
    pretrained='openai',
    frozen_layers=0,
    backbone=dict(type='OpenCLIPVisionTower'),
    text_backbone=dict(type='CLIPTextTower', context_length=32),
    head=dict(type='MeanPoolingHead'),
    data_preprocessor=dict(
        type='VideoTextDataPreprocessor', format_shape='NCHW'))
