from .warmup_cosine import LinearWarmupCosineLR

__all__ = ['LinearWarmupCosineLR']
