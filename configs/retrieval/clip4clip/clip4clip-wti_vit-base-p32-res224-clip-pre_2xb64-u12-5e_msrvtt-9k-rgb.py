_base_ = 'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py'

model = dict(head=dict(type='WeightedTokenInteractionHead', embed_dims=512))
# CLIP4Clip's rates: 1e-4 for what is new, 1e-7 for CLIP's weights.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
