_base_ = 'clip4clip_vit-base-p32-res224-clip-pre_2xb64-u12-5e_msrvtt-9k-rgb.py'

# Of the towers, low-rank adapters of queries, keys and values are trained alone.
# Rank and rate of TempMe (arXiv 2409.01156), whose adapters are not scaled.
model = dict(
    lora=dict(
        backbone=dict(r=8, lora_alpha=8), text_backbone=dict(r=8, lora_alpha=8)))
optim_wrapper = dict(optimizer=dict(lr=6e-4))
