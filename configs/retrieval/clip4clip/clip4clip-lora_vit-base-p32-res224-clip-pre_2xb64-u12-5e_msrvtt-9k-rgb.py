_base_ = 'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py'

# Of the towers, low-rank adapters of queries, keys and values are trained alone.
model = dict(
    lora=dict(
        backbone=dict(r=8, lora_alpha=16), text_backbone=dict(r=8, lora_alpha=16)))
# CLIP4Clip's rate for what is new; it was not tuned for adapters.
optim_wrapper = dict(optimizer=dict(lr=1e-4))
