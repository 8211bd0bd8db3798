# Any model of open_clip that docs/models.md lists, with its own context,
# activation, pictures and tokenizer: `arch` and `pretrained` choose it.
model = dict(
    type='VideoTextRetriever',
    arch='ViT-B-16',
    pretrained='datacomp_xl_s13b_b90k',
    frozen_layers=0,
    backbone=dict(type='OpenCLIPVisionTower'),
    text_backbone=dict(type='CLIPTextTower'),
    head=dict(type='MeanPoolingHead'),
    data_preprocessor=dict(
        type='VideoTextDataPreprocessor', format_shape='NCHW'))
