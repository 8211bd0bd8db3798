_base_ = 'clip4clip_vit-base-p16-res224-clip-pre_8xb16-u12-5e_msrvtt-9k-rgb.py'

# As of ViT-B/32.
model = dict(
    lora=dict(
        backbone=dict(r=8, lora_alpha=8), text_backbone=dict(r=8, lora_alpha=8)))
optim_wrapper = dict(optimizer=dict(lr=6e-4))
