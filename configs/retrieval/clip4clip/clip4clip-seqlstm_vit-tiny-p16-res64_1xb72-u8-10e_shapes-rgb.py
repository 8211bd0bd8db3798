_base_ = 'clip4clip_vit-tiny-p16-res64_1xb72-u8-10e_shapes-rgb.py'

model = dict(head=dict(type='SequentialLSTMHead', embed_dims=128))
