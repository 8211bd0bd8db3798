_base_ = 'clip4clip_vit-base-p32.py'

model = dict(arch='ViT-B-16-quickgelu')
