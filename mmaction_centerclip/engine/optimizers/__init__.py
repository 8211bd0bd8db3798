from .clip_constructor import CLIPOptimWrapperConstructor

__all__ = ['CLIPOptimWrapperConstructor']
